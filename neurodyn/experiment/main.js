// From the first screen to the last: who is there, what is left to do, and the file at the end.
const config = JSON.parse(document.getElementById("config").textContent);
const main = document.getElementById("experiment");
const asked = new URLSearchParams(location.search);
const NAME = /^[A-Za-z0-9]{1,32}$/;

async function begin() {
  const [given, number] = ["subject", "session"].map((name) => {
    const text = asked.get(name) ?? "";
    return NAME.test(text) ? text : null;
  });
  const named = async () => new Session(config, given ?? (await subjectName()), number ?? "1");
  const last = given ? null : Session.last(config);
  let session = last ? new Session(config, last.subject, last.session) : await named();
  let back = last || session.state.rows.length;
  while (back && !session.state.done && !(await goesOn(session, !given))) {
    session = await named();
    back = session.state.rows.length;
  }
  run(session);
}

async function goesOn({ subject }, mayBeOther) {
  const other = '<button class="plain" type="button">I am someone else</button>';
  const form = fill(main, `<h1 id="title" tabindex="-1">Welcome back</h1>
    <p>Participant <b>${escaped(subject)}</b>, you can go on where you stopped.</p>
    ${mayBeOther ? other : ""}`, "Go on");
  const no = new Promise((resolve) => {
    main.querySelector(".plain")?.addEventListener("click", () => resolve(false));
  });
  return Promise.race([form, no]);
}

async function subjectName() {
  const form = await fill(main, `<h1 id="title" tabindex="-1">Before we begin</h1>
    <label class="field">Your participant number or code
      <input type="text" name="subject" required maxlength="32" pattern="[A-Za-z0-9]+"
        autocomplete="off" autocapitalize="off" spellcheck="false"
        title="letters and digits only"></label>
    <p class="hint">Letters and digits only. Ask the experimenter if you have none.</p>`,
  "Continue");
  return form.subject.value;
}

function run(session) {
  const { steps, correctSide } = makePlan(config, session.subject, session.session);
  if (session.state.rows.length === steps.length) return end(session);
  main.replaceChildren();
  let label = "";
  const jsPsych = initJsPsych({
    display_element: main,
    show_progress_bar: true,
    auto_update_progress_bar: false,
    message_progress_bar: () => label,
    on_finish: () => end(session),
  });
  const progress = (index) => {
    label = steps[index].label;
    jsPsych.progressBar.progress = index / steps.length;
    const bar = document.getElementById("jspsych-progressbar-outer");
    const value = Math.round((100 * index) / steps.length);
    const about = { role: "progressbar", "aria-label": "Progress", "aria-valuenow": value };
    for (const [key, text] of Object.entries(about)) bar.setAttribute(key, text);
    // Without storage: a file after each block, when the screen that follows it appears.
    if (!session.kept && !steps[index].data && steps[index - 1]?.data) session.download("json");
  };
  const timeline = steps.map((step, index) => {
    const type = step.screen ? AglScreen : AglTrial;
    const about = { trial_type: type.info.name, plugin_version: type.info.version };
    const keep = (result) => session.record(
      index, { ...about, ...step.data, ...result }, jsPsych.getTotalTime()
    );
    const parametersOf = step.screen ? screenOf : trialOf;
    const parameters = parametersOf(step, correctSide, session);
    return { type, ...parameters, answered: keep, on_start: () => progress(index) };
  });
  window.addEventListener("beforeunload", (event) => {
    if (!session.kept && !session.state.done) event.preventDefault();
  });
  jsPsych.run(timeline.slice(session.state.rows.length));
}

function screenOf(step, correctSide, session) {
  const screen = () => SCREENS[step.screen](config, { step, correctSide, kept: session.kept });
  const { button, read } = screen();
  return { html: () => screen().html, ...(button && { button }), ...(read && { read }) };
}

function trialOf({ trial, scheme, data }, correctSide) {
  return {
    string: trial,
    tokens: trial.length,
    grammatical: data.grammatical,
    correct_side: correctSide,
    scheme: scheme ? config.scheme : "",
    fixation_ms: config.fixation_ms,
    feedback_ms: config.feedback_ms,
  };
}

// The file is handed out once without being asked for, and again when someone comes back for it.
function end(session) {
  const first = !session.state.done;
  session.finish();
  main.innerHTML = `<div class="screen"><h1 id="title" tabindex="-1">Thank you</h1>
    <p>You have finished. ${first ? `A file with your answers was just downloaded: please give it
      to the experimenter. You can download it again here.` : "Here is the file with your answers."}
    </p>
    <div class="files">
      <button class="next" type="button" data-format="json">Download JSON</button>
      <button class="next" type="button" data-format="csv">Download CSV</button>
    </div></div>`;
  main.querySelector("h1").focus();
  for (const button of main.querySelectorAll("[data-format]")) {
    button.addEventListener("click", () => session.download(button.dataset.format));
  }
  if (first) session.download("json");
}

begin();
