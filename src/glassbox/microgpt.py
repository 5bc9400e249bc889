"""microgpt: a GPT trained and sampled in one file, from nothing but Python.

Names go in, new names come out. Everything that a large language model does is here once, at its smallest: text
becomes tokens, tokens become vectors, attention lets them look back, a loss says how surprised the model was, the
gradients of that loss say how each weight should change, Adam changes it. What large models add is size and speed.

    python microgpt.py --names FILE --seed 42 --steps 1000 --samples 20

Read it from top to bottom. A vector is a list of `Value`s, a matrix is a list of rows. The algorithm and its numbers
are those of Andrej Karpathy's microgpt (2026), so that a run here can be laid beside a run there.
"""

import argparse
import json
import math
import random
from pathlib import Path


# ---- Value: a number that remembers how it was made -----------------------------------------------------------------
class Value:
    """A number, the values it was computed from, and the slope of the result towards each of them."""

    __slots__ = ("data", "grad", "parents", "slopes")

    def __init__(self, data, parents=(), slopes=()):
        self.data = data  # the number itself
        self.grad = 0.0  # how much the loss grows when this number grows by one: filled in by backward()
        self.parents = parents
        self.slopes = slopes  # d self / d parent, one for each parent

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, exponent):
        return Value(self.data**exponent, (self,), (exponent * self.data ** (exponent - 1),))

    def log(self):
        return Value(math.log(self.data), (self,), (1.0 / self.data,))

    def exp(self):
        result = math.exp(self.data)
        return Value(result, (self,), (result,))

    def relu(self):
        return Value(max(0.0, self.data), (self,), (1.0 if self.data > 0 else 0.0,))

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    def __truediv__(self, other):
        return self * other**-1

    __radd__ = __add__
    __rmul__ = __mul__

    def backward(self):
        """The chain rule, from this value back to everything it was made from."""
        order, seen, stack = [], set(), [(self, False)]
        while stack:  # parents before children, without recursion: a step has a hundred thousand values
            value, parents_done = stack.pop()
            if parents_done:
                order.append(value)
            elif value not in seen:
                seen.add(value)
                stack.append((value, True))
                stack.extend((parent, False) for parent in value.parents)
        for value in order:
            value.grad = 0.0
        self.grad = 1.0
        for value in reversed(order):
            for parent, slope in zip(value.parents, value.slopes):
                parent.grad += slope * value.grad


# ---- The tokenizer: characters in alphabetical order, and one token more that begins and ends every name ------------
def read_names(file):
    """The names in a file, one a line. Raises OSError or ValueError when there are none to be read."""
    names = [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names:
        raise ValueError("it has no names in it")
    if not all(name.isprintable() for name in names):
        raise ValueError("it has characters in it that cannot be shown")
    return names


def build_vocabulary(names):
    """The characters, sorted, and the id of BOS, which comes after them."""
    characters = sorted(set("".join(names)))
    return characters, len(characters)


def tokenize(name, characters, bos):
    return [bos] + [characters.index(character) for character in name] + [bos]


# ---- The parameters: every number that will be learned --------------------------------------------------------------
def build_parameters(vocabulary_size, layers, width, context):
    """Matrices of small random numbers, (outputs x inputs), by name."""

    def matrix(outputs, inputs):
        return [[Value(random.gauss(0, 0.08)) for _ in range(inputs)] for _ in range(outputs)]

    matrices = {
        "wte": matrix(vocabulary_size, width),  # a vector for each token
        "wpe": matrix(context, width),  # a vector for each position
        "lm_head": matrix(vocabulary_size, width),  # from a vector back to a score for each token
    }
    for layer in range(layers):
        matrices[f"layer{layer}.attn_wq"] = matrix(width, width)  # what am I looking for?
        matrices[f"layer{layer}.attn_wk"] = matrix(width, width)  # what do I have to offer?
        matrices[f"layer{layer}.attn_wv"] = matrix(width, width)  # what do I hand over?
        matrices[f"layer{layer}.attn_wo"] = matrix(width, width)
        matrices[f"layer{layer}.mlp_fc1"] = matrix(4 * width, width)
        matrices[f"layer{layer}.mlp_fc2"] = matrix(width, 4 * width)
    return matrices


# ---- The model: a token and its position in, a score for every possible next token out ------------------------------
def linear(x, matrix):
    return [sum(weight * number for weight, number in zip(row, x)) for row in matrix]


def softmax(scores):
    largest = max(score.data for score in scores)  # subtracting it changes nothing but keeps exp from overflowing
    exponentials = [(score - largest).exp() for score in scores]
    total = sum(exponentials)
    return [exponential / total for exponential in exponentials]


def rmsnorm(x):
    mean_square = sum(number * number for number in x) / len(x)
    scale = (mean_square + 1e-5) ** -0.5
    return [number * scale for number in x]


def attention(x, matrices, layer, heads, keys, values):
    """The new token looks at itself and at all before it; keys and values of those are remembered in two lists."""
    queries = linear(x, matrices[f"layer{layer}.attn_wq"])
    keys[layer].append(linear(x, matrices[f"layer{layer}.attn_wk"]))
    values[layer].append(linear(x, matrices[f"layer{layer}.attn_wv"]))
    head_width = len(x) // heads
    mixed = []
    for head in range(heads):
        part = slice(head * head_width, (head + 1) * head_width)
        query = queries[part]
        # How well does each earlier token fit? The scores become weights that add up to one.
        weights = softmax([sum(q * k for q, k in zip(query, key[part])) / head_width**0.5 for key in keys[layer]])
        mixed += [
            sum(weight * value[channel] for weight, value in zip(weights, values[layer]))
            for channel in range(part.start, part.stop)
        ]
    return linear(mixed, matrices[f"layer{layer}.attn_wo"])


def gpt(token, position, matrices, layers, heads, keys, values):
    """One token through the whole model. Returns its scores (logits) for the next token."""
    x = [a + b for a, b in zip(matrices["wte"][token], matrices["wpe"][position])]
    x = rmsnorm(x)
    for layer in range(layers):
        x = [a + b for a, b in zip(x, attention(rmsnorm(x), matrices, layer, heads, keys, values))]
        hidden = [number.relu() for number in linear(rmsnorm(x), matrices[f"layer{layer}.mlp_fc1"])]
        x = [a + b for a, b in zip(x, linear(hidden, matrices[f"layer{layer}.mlp_fc2"]))]
    return linear(x, matrices["lm_head"])


# ---- Training: be surprised, find out which weights are to blame, change them a little ------------------------------
def name_loss(tokens, matrices, layers, heads, context):
    """The mean surprise, -log(probability), at each next token of one name."""
    keys, values = [[] for _ in range(layers)], [[] for _ in range(layers)]
    losses = []
    for position in range(min(context, len(tokens) - 1)):
        logits = gpt(tokens[position], position, matrices, layers, heads, keys, values)
        losses.append(-softmax(logits)[tokens[position + 1]].log())
    return sum(losses) * (1 / len(losses))


class Adam:
    """Moves each weight against its gradient, smoothed (m) and measured by the gradient's usual size (root of v)."""

    def __init__(self, weights, learning_rate=0.01, beta1=0.85, beta2=0.99, epsilon=1e-8):
        self.weights = weights
        self.learning_rate, self.beta1, self.beta2, self.epsilon = learning_rate, beta1, beta2, epsilon
        self.m = [0.0] * len(weights)
        self.v = [0.0] * len(weights)

    def step(self, number, steps):
        """Update number 0, 1, ... of `steps`; the learning rate falls to zero in a straight line."""
        learning_rate = self.learning_rate * (1 - number / steps)
        for i, weight in enumerate(self.weights):
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * weight.grad
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * weight.grad**2
            m_hat = self.m[i] / (1 - self.beta1 ** (number + 1))  # early on both are too small, having begun at zero
            v_hat = self.v[i] / (1 - self.beta2 ** (number + 1))
            weight.data -= learning_rate * m_hat / (v_hat**0.5 + self.epsilon)


# ---- Sampling: draw a token, append it, ask again -------------------------------------------------------------------
def sample_name(matrices, layers, heads, context, characters, bos, temperature=0.5):
    keys, values = [[] for _ in range(layers)], [[] for _ in range(layers)]
    token, name = bos, ""
    for position in range(context):
        logits = gpt(token, position, matrices, layers, heads, keys, values)
        probabilities = softmax([logit / temperature for logit in logits])  # below 1: bolder; above 1: more adventurous
        token = random.choices(range(len(logits)), weights=[p.data for p in probabilities])[0]
        if token == bos:
            break
        name += characters[token]
    return name


# ---- All of it, in order --------------------------------------------------------------------------------------------
def run(names, seed=42, steps=1000, layers=1, width=16, heads=4, context=16, samples=20, report=print):
    """Train on the names, then write new ones. Returns the loss of every step and the samples."""
    random.seed(seed)
    names = names[:]
    random.shuffle(names)
    characters, bos = build_vocabulary(names)
    matrices = build_parameters(len(characters) + 1, layers, width, context)
    weights = [weight for matrix in matrices.values() for row in matrix for weight in row]
    report(f"{len(names):,} names, {len(characters) + 1} tokens, {len(weights):,} parameters")

    optimizer, losses = Adam(weights), []
    for number in range(steps):
        tokens = tokenize(names[number % len(names)], characters, bos)
        loss = name_loss(tokens, matrices, layers, heads, context)
        for weight in weights:  # a letter that this name doesn't have gets no blame this time
            weight.grad = 0.0
        loss.backward()
        optimizer.step(number, steps)
        losses.append(loss.data)
        report(f"step {number + 1:4} / {steps:4} | loss {loss.data:.4f}")

    written = [sample_name(matrices, layers, heads, context, characters, bos) for _ in range(samples)]
    for number, name in enumerate(written, 1):
        report(f"sample {number:2}: {name}")
    return {"losses": losses, "samples": written}


def main():
    arguments = argparse.ArgumentParser(description="Train a tiny GPT on names and write new ones.")
    own_names = Path(__file__).resolve().parent / "data" / "sources" / "names.txt"
    arguments.add_argument("--names", default=own_names, help="text file with one name a line")
    arguments.add_argument("--json", action="store_true", help="print one object with all losses and samples")
    sizes = {"seed": 42, "steps": 1000, "layers": 1, "width": 16, "heads": 4, "context": 16, "samples": 20}
    for size, default in sizes.items():
        arguments.add_argument(f"--{size}", type=int, default=default, help=f"default: {default}")
    chosen = vars(arguments.parse_args())
    file, as_json = chosen.pop("names"), chosen.pop("json")
    smallest = {"seed": 0, "steps": 1, "layers": 1, "width": 1, "heads": 1, "context": 1, "samples": 0}
    for size, least in smallest.items():
        if chosen[size] < least:
            arguments.error(f"--{size} is {chosen[size]}; it must be at least {least}")
    if chosen["width"] % chosen["heads"]:
        arguments.error(f"--width {chosen['width']} cannot be shared evenly by {chosen['heads']} heads")
    try:
        names = read_names(file)
    except (OSError, ValueError) as error:
        arguments.error(f"{file} cannot be read: {error}. Give a text file in UTF-8 with one name a line.")
    result = run(names, **chosen, report=(lambda line: None) if as_json else print)
    if as_json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
