r"""
People and networks learn a grammar
===================================

Strings of letters, each correct or wrong, with feedback after each answer: people learn this, and
networks do. Here **people are simulated**, with a known truth, and every learner is yoked: it sees
one person's strings and feedback in that person's order, and answers before the feedback,

.. math:: \text{answer}_t = P(\text{grammatical} \mid x_t;\, w_{t-1}), \qquad
          w_t = w_{t-1} + \Delta w(x_t, y_t).

A feed-forward and a recurrent network have about 1,400 parameters each, the third learner counts
chunks of two and three letters. The grammar is that of Knowlton & Squire (1996), which Alamia,
Gauducheau, Paisios & VanRullen (2020), arXiv:1902.04861, most likely used as their grammar A.
"""

import matplotlib.pyplot as plt
import numpy as np

import neurodyn as nd
from neurodyn import analysis, models

shown = nd.stimuli.stimulus_set("A", train=480, validation=20, test=20, seed=0)
people = models.simulated_participants(shown, subjects=10, seed=0)
answers = models.yoked(people, ["feedforward", "recurrent", "chunk"], seeds=range(2))
print(f"{people.sizes['trial']} trials; {answers.output.sizes}")

# %%
# How often each is right, in the paper's windows of 40 trials, and for each length. The intervals
# are over people, and over seeds for the networks; seeds are training runs, not subjects. Strings
# of more than seven letters are rare, and so are the trials that their means rest on.

how = {"resamples": 300}
curves = analysis.accuracy_of_agents(people, answers, "n_seen", **how).sel(grammar="A")
lengths = analysis.accuracy_of_agents(people, answers, "length", **how).sel(grammar="A")
for agent in curves.agent.values:
    low, high = curves.accuracy_ci.sel(agent=agent, n_seen=400).values
    mean = curves.accuracy.sel(agent=agent, n_seen=400)
    print(f"{agent:12} around trial 400: {mean:.3f} correct ({low:.3f} to {high:.3f})")

# %%
# To be right as often is not to be right in the same way. The pseudo-R2 says how well a learner
# predicts the single choices of a person, on trials held out; the truth that the choices were drawn
# from is the best that there is.

choices = analysis.choice_likelihood(people, answers).pseudo_r2.mean("seed")
truth = people[["item", "grammatical"]].assign(output=people.truth)
best = analysis.choice_likelihood(people, truth).pseudo_r2.squeeze()
for family in choices.family.values:
    print(f"{family:12} pseudo-R2 {choices.sel(family=family).mean():.3f} of {best.mean():.3f}")

# %%
# Left and middle: accuracy with 95% intervals, chance dotted. Right: each person's choices as each
# learner predicts them; the grey bar is the mean under the truth.

figure, (left, middle, right) = plt.subplots(1, 3, width_ratios=(1.2, 1, 1))
looks = {"people": "o-", "feedforward": "s--", "recurrent": "^-", "chunk": "P:"}
colours = {"people": "k", "feedforward": "C4", "recurrent": "C0", "chunk": "C3"}
names = {"people": "simulated people"}
for axis, data, x in ((left, curves, "n_seen"), (middle, lengths, "length")):
    for agent, look in looks.items():
        line = data.sel(agent=agent)
        at, colour = line[x].values, colours[agent]
        axis.fill_between(at, *line.accuracy_ci.values.T, color=colour, alpha=0.15, lw=0)
        axis.plot(at, line.accuracy, look, color=colour, label=names.get(agent, agent))
    axis.axhline(0.5, color="0.6", linestyle=":", lw=1)
    axis.set(xlabel=data[x].attrs["long_name"], ylim=(0.3, 1.02))
left.set(ylabel="proportion correct", xlim=(80, 520))
left.legend(loc="lower right", fontsize=7)
middle.set(xlabel="length (letters)", xticks=range(2, 13, 2))

spread = np.linspace(-0.2, 0.2, choices.sizes["subject"])
for place, family in enumerate(choices.family.values):
    values = choices.sel(family=family).values
    right.plot(place + spread, values, looks[family][0], color=colours[family])
    right.hlines(values.mean(), place - 0.3, place + 0.3, color=colours[family])
right.axhspan(best.mean() - 0.002, best.mean() + 0.002, color="0.6", lw=0)
right.text(2.4, best.mean() + 0.006, "truth", ha="right", va="bottom", color="0.35")
right.set_xticks(range(3), ["feed-\nforward", "recurrent", "chunk"])
right.set(ylabel=r"pseudo-R$^2$ of choices", xlim=(-0.5, 2.5), ylim=(0, 0.26))
