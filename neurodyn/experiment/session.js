// What is kept of a session: one row for each finished step, in the browser's local storage.
// Where that throws or is missing, `kept` is false and the page hands out files instead.
class Session {
  constructor(config, subject, session) {
    Object.assign(this, { config, subject, session, kept: true });
    this.key = `${storeName(config)} ${subject} ${session}`;
    this.state = { rows: [], elapsed: 0, done: false };
    try {
      this.state = JSON.parse(localStorage.getItem(this.key)) ?? this.state;
    } catch {
      this.kept = false;
    }
    this.begun = this.state.elapsed;
    this.save();
  }

  // Who was here last, so that a reload need not ask; null if nobody was, or the session is over.
  static last(config) {
    try {
      return JSON.parse(localStorage.getItem(storeName(config)));
    } catch {
      return null;
    }
  }

  save() {
    if (!this.kept) return;
    try {
      const { subject, session } = this;
      localStorage.setItem(this.key, JSON.stringify(this.state));
      localStorage.setItem(storeName(this.config),
        JSON.stringify(this.state.done ? null : { subject, session }));
    } catch {
      this.kept = false;
    }
  }

  // `elapsed` is in ms since the page was opened; what was spent before a reload is added.
  record(index, row, elapsed) {
    this.state.elapsed = this.begun + Math.round(elapsed);
    this.state.rows[index] = { ...row, trial_index: index, time_elapsed: this.state.elapsed };
    this.save();
  }

  finish() {
    this.state.done = true;
    this.save();
  }

  // Rows of trials and questions; those of instructions and pauses stay in the browser.
  get data() {
    return new jsPsychModule.DataCollection(this.state.rows.filter((row) => row.task));
  }

  download(format) {
    const name = `agl-${this.config.grammar}_sub-${this.subject}_ses-${this.session}.${format}`;
    const text = format === "csv" ? this.data.csv() : this.data.json(true);
    const type = format === "csv" ? "text/csv" : "application/json";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
}

const storeName = (config) => `neurodyn-agl ${config.page}`;
