// The plan of one session: what is shown in which order, and which side means "correct". It follows
// from the page's seed and the participant alone, so a reload rebuilds it.

// FNV-1a: a text becomes 32 bits.
function hash(text) {
  let bits = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) bits = Math.imul(bits ^ byte, 0x01000193);
  return bits >>> 0;
}

// Mulberry32: 32 bits become a stream of numbers in [0, 1).
function stream(bits) {
  return () => {
    bits = (bits + 0x6d2b79f5) | 0;
    let mixed = Math.imul(bits ^ (bits >>> 15), bits | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Fisher-Yates, from the last place down.
function shuffled(list, random) {
  const order = [...list];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

// A number at the end of the participant's name decides the side: odd left, even right. Names
// without one are decided by their hash.
function sideOfCorrect(subject) {
  const digits = subject.match(/\d+$/);
  const number = digits ? Number(digits[0].slice(-1)) : hash(subject);
  return number % 2 ? "left" : "right";
}

// Every block has as many correct as wrong strings, in random order. The draws are made in this
// order: correct strings, wrong strings, then the order within each block.
function inBlocks(items, blocks, random) {
  const right = shuffled(items.filter((item) => item.grammatical), random);
  const wrong = shuffled(items.filter((item) => !item.grammatical), random);
  const half = right.length / blocks;
  return Array.from({ length: blocks }, (_, block) => {
    const chosen = [right, wrong].flatMap((list) => list.slice(block * half, (block + 1) * half));
    return shuffled(chosen, random);
  });
}

// The list of steps, each a trial or a screen. `data` is what its row of the file begins with.
function makePlan(config, subject, session) {
  const random = stream(hash(`${config.seed}|${subject}|${session}`));
  const correctSide = sideOfCorrect(subject);
  const steps = [];
  let position = 0;
  const row = (phase, block, item, grammatical) => ({
    task: "agl", subject, session, phase, block, position: ++position, item,
    grammar: config.grammar, grammatical, correct_side: correctSide,
    page: config.page, page_seed: config.seed, neurodyn_version: config.version,
  });
  const screen = (name, label, about = {}) => steps.push({ screen: name, label, ...about });
  const block = (phase, number, items, label) => {
    for (const { string, grammatical } of items) {
      const data = row(phase, number, string, grammatical);
      steps.push({ trial: string, scheme: phase === "explicit", label, data });
    }
  };

  for (const name of ["welcome", "task"]) screen(name, "Introduction");
  const implicit = inBlocks(config.items.implicit, config.blocks, random);
  implicit.forEach((items, index) => {
    const label = `Block ${index + 1} of ${config.blocks}`;
    block("implicit", index + 1, items, label);
    if (index + 1 < config.blocks) screen("pause", label, { block: index + 1 });
  });
  if (config.questions.length) screen("questions", "Questions");
  config.questions.forEach((question, index) => {
    const data = row("questionnaire", null, question.item ?? "", question.item ? false : null);
    const label = `Question ${index + 1} of ${config.questions.length}`;
    screen(question.kind, label, { question, data });
  });
  for (const [phase, number] of [["explicit", config.blocks + 1], ["memory", config.blocks + 2]]) {
    const label = phase === "explicit" ? "With the scheme" : "From memory";
    if (config.items[phase].length) screen(phase, label);
    block(phase, number, inBlocks(config.items[phase], 1, random)[0], label);
  }
  return { steps, correctSide };
}
