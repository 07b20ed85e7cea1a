// One trial, for keys, touch and mouse: a fixation cross, the string until an answer, then the same
// string in green or red with a sign, for those who see the two colours alike.
// Keys count by their place, whatever letter a layout has there, or by their letter, wherever it is.
const KEYS = {
  ArrowLeft: "left", KeyF: "left", f: "left", ArrowRight: "right", KeyJ: "right", j: "right",
};

class AglTrial {
  static info = {
    name: "agl-trial",
    version: "1.0.0",
    parameters: {
      string: { type: jsPsychModule.ParameterType.STRING, default: undefined },
      tokens: { type: jsPsychModule.ParameterType.INT, default: undefined },
      grammatical: { type: jsPsychModule.ParameterType.BOOL, default: undefined },
      correct_side: { type: jsPsychModule.ParameterType.STRING, default: undefined },
      scheme: { type: jsPsychModule.ParameterType.HTML_STRING, default: "" },
      fixation_ms: { type: jsPsychModule.ParameterType.INT, default: 500 },
      feedback_ms: { type: jsPsychModule.ParameterType.INT, default: 2000 },
      answered: { type: jsPsychModule.ParameterType.FUNCTION, default: () => {} },
    },
    data: {},
  };

  constructor(jsPsych) {
    this.jsPsych = jsPsych;
  }

  trial(element, trial) {
    element.innerHTML = trialHTML(trial);
    const stage = element.querySelector(".stage");
    const string = element.querySelector(".string");
    const verdict = element.querySelector(".verdict");
    const buttons = element.querySelectorAll(".answers button");
    const later = (ms, act) => this.jsPsych.pluginAPI.setTimeout(act, ms);
    const listening = new AbortController();
    let shown;

    const answer = (side, key, input) => {
      if (listening.signal.aborted) return;
      const rt = Math.round(performance.now() - shown);
      listening.abort();
      buttons.forEach((button) => (button.disabled = true));
      const response = Number(side === trial.correct_side);
      const correct = response === Number(trial.grammatical);
      const feedback = trial.feedback_ms > 0;
      const data = { response, key, input, correct, rt, feedback, confidence: null };
      trial.answered(data); // kept before the feedback, so that a reload cannot undo an answer
      if (!feedback) return this.jsPsych.finishTrial(data);
      stage.classList.add(correct ? "right" : "wrong");
      verdict.textContent = correct ? "✓ Right answer" : "✗ Wrong answer";
      later(trial.feedback_ms, () => this.jsPsych.finishTrial(data));
    };

    const show = () => {
      string.textContent = trial.string;
      string.classList.remove("fixation");
      const { signal } = listening;
      document.addEventListener("keydown", (event) => {
        const side = KEYS[event.code] ?? KEYS[event.key.toLowerCase()];
        if (!side || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        answer(side, event.key.toLowerCase(), "keyboard");
      }, { signal });
      for (const button of buttons) {
        button.disabled = false;
        const { side } = button.dataset;
        const press = (input) => answer(side, `${side} button`, input);
        button.addEventListener("pointerdown", (event) => press(event.pointerType), { signal });
        button.addEventListener("click", () => press("button"), { signal }); // screen readers
      }
      shown = performance.now();
      requestAnimationFrame(() => (shown = performance.now())); // the frame that shows the string
    };
    later(trial.fixation_ms, show);
  }
}

function trialHTML({ tokens, correct_side: correctSide, scheme }) {
  const button = (side, arrow) => {
    const word = side === correctSide ? "correct" : "wrong";
    const parts = [`<kbd aria-hidden="true">${arrow}</kbd>`, `<span>${word}</span>`];
    if (side === "right") parts.reverse();
    return `<button type="button" data-side="${side}" disabled>${parts.join("")}</button>`;
  };
  return `<div class="stage">
    ${scheme && `<figure class="scheme">${scheme}</figure>`}
    <p class="string fixation" style="--letters: ${tokens}" aria-live="assertive">+</p>
    <p class="verdict" role="status"></p>
    <div class="answers">${button("left", "←")}${button("right", "→")}</div>
  </div>`;
}
