// One screen that is read or filled in: a form with a button. `read` turns the form into the rest
// of its row; without it there is nothing to keep but the time.
class AglScreen {
  static info = {
    name: "agl-screen",
    version: "1.0.0",
    parameters: {
      html: { type: jsPsychModule.ParameterType.HTML_STRING, default: undefined },
      button: { type: jsPsychModule.ParameterType.STRING, default: "Continue" },
      read: { type: jsPsychModule.ParameterType.FUNCTION, default: null },
      answered: { type: jsPsychModule.ParameterType.FUNCTION, default: () => {} },
    },
    data: {},
  };

  constructor(jsPsych) {
    this.jsPsych = jsPsych;
  }

  async trial(element, trial, onLoad) {
    const shown = performance.now();
    onLoad();
    const form = await fill(element, trial.html, trial.button);
    const rt = Math.round(performance.now() - shown);
    trial.answered(trial.read ? { ...trial.read(form), rt } : { rt });
    return {};
  }
}

// Show a form and wait until it is sent. A slider counts as unanswered until it is touched.
function fill(element, html, button) {
  element.innerHTML = `<form class="screen" aria-labelledby="title">${html}
    <button class="next" type="submit">${button}</button></form>`;
  const form = element.querySelector("form");
  const next = form.querySelector(".next");
  const slider = form.querySelector("input[type=range]");
  window.scrollTo(0, 0);
  if (slider) {
    next.disabled = true;
    const touched = () => {
      slider.classList.remove("untouched");
      form.querySelector("output").value = slider.value;
      next.disabled = false;
    };
    for (const event of ["input", "pointerdown", "keydown"]) {
      slider.addEventListener(event, (about) => about.key === "Tab" || touched());
    }
  }
  const first = form.querySelector("input[type=text]") ?? next;
  (slider ? form.querySelector("h1") : first).focus({ preventScroll: true });
  return new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      resolve(form);
    });
  });
}

const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
