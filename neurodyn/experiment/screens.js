// What each screen says, and what it keeps of what was filled in.
const SCREENS = {
  welcome: (config) => ({
    html: `<h1 id="title" tabindex="-1">Welcome</h1>
      <p>You will see short strings of ${config.unit}s, one at a time. Some are <b>correct</b>, the
      others are <b>wrong</b>. Your task is to tell which is which.</p>
      <p>At first you can only guess. ${config.feedback_ms ? `After each answer you learn whether it
      was right. Use that to do better.` : ""}</p>
      <p>There are ${config.blocks > 1 ? `${config.blocks} blocks of ` : ""}${config.trials}
      strings${config.blocks > 1 ? ", with a pause after each block" : ""}. You may stop at any time
      by closing the page.</p>`,
  }),

  task: (config, { correctSide }) => {
    const [left, right] = correctSide === "left" ? ["correct", "wrong"] : ["wrong", "correct"];
    const half = (side, word, keys) => `<div class="half"><b>${word}</b>
      <span>${side} index finger</span><span>${keys}</span></div>`;
    return {
      html: `<h1 id="title" tabindex="-1">How to answer</h1>
        <p>Look at the cross. When the ${config.unit}s appear, decide in your own time.</p>
        <div class="halves">${half("left", left, "<kbd>F</kbd> or <kbd>←</kbd>")}
          ${half("right", right, "<kbd>J</kbd> or <kbd>→</kbd>")}</div>
        <p>On a touch screen, tap the word below the ${config.unit}s.</p>
        ${config.feedback_ms ? `<p>Then the ${config.unit}s turn <b class="right">✓ green</b> if
          your answer was right and <b class="wrong">✗ red</b> if it was not.</p>` : ""}`,
      button: "Start",
    };
  },

  pause: (config, { step, kept }) => ({
    html: `<h1 id="title" tabindex="-1">A pause</h1>
      <p>Block ${step.block} of ${config.blocks} is done. Rest as long as you like.</p>
      ${kept ? "" : NOT_KEPT}`,
    button: "Next block",
  }),

  questions: (config, { kept }) => ({
    html: `<h1 id="title" tabindex="-1">Some questions</h1>
      <p>Now ${config.questions.length} questions about the ${config.unit}s that you saw. Answer
      even where you are guessing, and say each time how sure you are.</p>${kept ? "" : NOT_KEPT}`,
  }),

  choice: (config, { step: { question } }) => ({
    html: `<h1 id="title" tabindex="-1">${escaped(question.text)}</h1>
      <p class="hint">Choose all that apply, or none.</p>
      <div class="tiles" role="group" aria-labelledby="title">${config.alphabet.map((letter) =>
        `<label class="tile"><input type="checkbox" name="answer" value="${escaped(letter)}">
          <span>${escaped(letter)}</span></label>`).join("")}</div>${CONFIDENCE}`,
    read: (form) => {
      const answer = new FormData(form).getAll("answer");
      const others = config.alphabet.filter((letter) => !question.truth.includes(letter));
      const share = (list, wanted) => list.length
        ? list.filter((letter) => answer.includes(letter) === wanted).length / list.length : null;
      return {
        response: null, question: question.text, answer, truth: question.truth,
        sensitivity: share(question.truth, true), specificity: share(others, false),
        confidence: confidenceIn(form),
      };
    },
  }),

  error: (config, { step: { question } }) => ({
    html: `<h1 id="title" tabindex="-1">This one is wrong. Where?</h1>
      <p class="hint">Mark the ${config.unit}s that are wrong.</p>
      <div class="tiles string-of" role="group" aria-labelledby="title">
        ${question.tokens.map((letter, place) => `<label class="tile"><input type="checkbox"
          name="answer" value="${place}" aria-label="${escaped(letter)}, place ${place + 1}">
          <span>${escaped(letter)}</span></label>`).join("")}</div>
      <label class="field">How would it be correct? <input type="text" name="corrected"
        autocomplete="off" autocapitalize="characters" spellcheck="false"></label>${CONFIDENCE}`,
    read: (form) => {
      const answer = new FormData(form).getAll("answer").map(Number);
      const corrected = inLettersOf(config, form.corrected.value);
      return {
        response: null, question: "mark the error", answer, truth: question.truth, corrected,
        source: question.source, ...errorScores(question, answer, corrected),
        confidence: confidenceIn(form),
      };
    },
  }),

  rule: () => ({
    html: `<h1 id="title" tabindex="-1">What makes a string correct?</h1>
      <label class="field">Write down any rule that you noticed, or that you noticed none.
        <textarea name="answer" rows="5"></textarea></label>`,
    read: (form) => ({
      response: null, question: "rule", answer: form.answer.value.trim(), confidence: null,
    }),
  }),

  explicit: (config, { kept }) => ({
    html: `<h1 id="title" tabindex="-1">With the scheme</h1>
      <p>The correct strings follow a rule. Here it is. It stays in view for the next
      ${config.items.explicit.length} strings: use it.${config.reading && ` ${config.reading}`}</p>
      <figure class="scheme">${config.scheme}</figure>${kept ? "" : NOT_KEPT}`,
  }),

  memory: (config, { kept }) => ({
    html: `<h1 id="title" tabindex="-1">From memory</h1>
      <p>The last ${config.items.memory.length} strings follow the same rule, now without the
      scheme. Answer from what you remember.</p>${kept ? "" : NOT_KEPT}`,
  }),
};

const NOT_KEPT = `<p class="note">This browser cannot keep your answers, so a file with all of them
  so far was downloaded. Keep the newest one, and do not reload the page.</p>`;

const CONFIDENCE = `<div class="confidence"><label for="confidence">How sure are you?</label>
  <output for="confidence">–</output>
  <input type="range" id="confidence" name="confidence" min="0" max="100" value="50"
    class="untouched" aria-describedby="ends">
  <p id="ends"><span>0: a guess</span><span>100: certain</span></p></div>`;

const confidenceIn = (form) => Number(form.confidence.value);

// Any of the ways to put it right counts; in Python: questions.score_error.
function errorScores({ truth, repairs }, answer, corrected) {
  const plain = (text) => text.replace(/\s/g, "");
  return {
    found: truth.some((places) => String(places) === String(answer)),
    repaired: repairs.some((string) => plain(string) === plain(corrected)),
  };
}

// What was typed, in capitals where the grammar's letters are.
function inLettersOf({ alphabet }, text) {
  const capital = alphabet.every((letter) => letter === letter.toUpperCase());
  return capital ? text.trim().toUpperCase() : text.trim();
}
