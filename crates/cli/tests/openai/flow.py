"""The official Python client runs its usual flows against a gateway: flow.py BASE_URL KEY."""

import json
import struct
import sys
from typing import List, Literal, Optional

import openai
import pydantic

base_url, key = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=120)

# Models.
models = [model.id for model in client.models.list()]
assert models == ["synthetic", "synthetic encoder"], models
model = client.models.retrieve("synthetic")
blob = model.model_extra["tilth"]["model"]

# A chat, whole: the same question has the same answer, another seed another one.
question = dict(
    model="synthetic",
    messages=[{"role": "user", "content": "Say something."}],
    max_tokens=24,
    temperature=1,
    seed=5,
)
first = client.chat.completions.create(**question)
again = client.chat.completions.create(**question)
other = client.chat.completions.create(**(question | {"seed": 6}))
text = first.choices[0].message.content
assert text == again.choices[0].message.content
assert text != other.choices[0].message.content
assert first.choices[0].finish_reason in ("stop", "length")
usage = first.usage
assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
receipt = first.choices[0].model_extra["tilth"]["receipt"]["receipt"]
assert receipt["output-tokens"] == usage.completion_tokens
assert receipt["model"] == blob

# The same as a stream.
parts, counts, reasons = [], None, []
stream = client.chat.completions.create(
    **question, stream=True, stream_options={"include_usage": True}
)
for chunk in stream:
    for choice in chunk.choices:
        parts.append(choice.delta.content or "")
        if choice.finish_reason:
            reasons.append(choice.finish_reason)
    counts = chunk.usage or counts
assert "".join(parts) == text, (parts, text)
assert len(parts) > 3 and reasons == [first.choices[0].finish_reason]
assert counts == usage, (counts, usage)

# Several answers, log-probabilities, stop texts.
several = client.chat.completions.create(**question, n=3, logprobs=True, top_logprobs=2)
assert [choice.index for choice in several.choices] == [0, 1, 2]
assert several.choices[0].message.content == text, "the first answer is the one alone"
assert len({choice.message.content for choice in several.choices}) == 3
content = several.choices[1].logprobs.content
assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in content)
stop = text[2:5]
cut = client.chat.completions.create(**question, stop=[stop])
assert cut.choices[0].message.content == text[: text.index(stop)]
assert cut.choices[0].finish_reason == "stop"

# JSON: an object, or the beginning of one if there was no room for all of it.
def is_object(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def begins_object(text):
    """Whether some end makes an object of it."""
    open_ones, in_text, escaped = [], False, False
    for letter in text:
        if in_text:
            in_text = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            in_text = True
        elif letter in "{[":
            open_ones.append("}" if letter == "{" else "]")
        elif letter in "}]":
            if not open_ones or open_ones.pop() != letter:
                return False
    # The rest of an escape, then of a text, a key, a word or a number, or what is due after a colon or comma.
    escapes = ["", "\\", "0", "00", "000", "0000"] if in_text else [""]
    ends = ['"', '":0'] if in_text else [
        "", ":0", "0", '"":0', "rue", "ue", "e", "alse", "lse", "se", "ull", "ll", "l"
    ]
    rest = "".join(reversed(open_ones))
    return any(is_object(text + escape + end + rest) for escape in escapes for end in ends)


assert begins_object('{"a": [tr') and begins_object('{"a\\u00') and begins_object('{"a": 1.')
assert not begins_object('{"a" 1') and not begins_object("{a") and not begins_object("[1")
form = {"type": "json_object"}
objects = question | {"max_tokens": 60, "n": 4}
held = client.chat.completions.create(**objects, response_format=form)
same = client.chat.completions.create(**objects, response_format=form)
for choice, again in zip(held.choices, same.choices, strict=True):
    answer = choice.message.content
    assert answer == again.message.content and answer.startswith("{")
    whole = choice.finish_reason == "stop"
    assert is_object(answer) if whole else begins_object(answer), (choice.finish_reason, answer)


# Classes, as programs ask for them: exactly what they say, or the beginning of it if there was no room for all.
class Verdict(pydantic.BaseModel):
    ok: bool


class Count(pydantic.BaseModel):
    n: int = pydantic.Field(ge=-5, lt=301)


class Part(pydantic.BaseModel):
    name: Literal["wheel", "door"]
    size: Optional[int]


class Thing(pydantic.BaseModel):
    ok: bool
    first: Part
    parts: List[Part]
    weight: float = pydantic.Field(description="in kg")


def parsed(kind, seed):
    change = {"max_tokens": 150, "seed": seed}
    try:
        answer = client.chat.completions.parse(**(question | change), response_format=kind)
    except openai.LengthFinishReasonError as error:
        return error.completion.choices[0].message.content
    return answer.choices[0].message.parsed


for seed in range(3):
    # No longer one has so many bytes, white space and all.
    assert isinstance(parsed(Verdict, seed), Verdict)
    # Neither has this one, and pydantic itself refuses what is out of bounds.
    assert isinstance(parsed(Count, seed), Count)
    thing = parsed(Thing, seed)
    assert isinstance(thing, Thing) or begins_object(thing), thing
    assert thing == parsed(Thing, seed)

# The plain shape.
plain = dict(model=blob, prompt="Once upon", max_tokens=12)
whole = client.completions.create(**plain, temperature=0)
greedy = client.completions.create(**plain, temperature=0, seed=99, echo=True)
assert greedy.choices[0].text == "Once upon" + whole.choices[0].text
streamed = client.completions.create(**plain, temperature=0, stream=True)
assert "".join(chunk.choices[0].text for chunk in streamed) == whole.choices[0].text


# Embeddings. Unless told otherwise the client asks for bytes and makes numbers of them.
texts = ["the farm", "farms, and the rest!"]
encoder = dict(model="synthetic encoder", input=texts)
made = client.embeddings.create(**encoder)
assert made.object == "list" and made.model == "synthetic encoder"
assert [one.index for one in made.data] == [0, 1]
vectors = [one.embedding for one in made.data]
assert all(len(vector) == 72 and abs(sum(x * x for x in vector) - 1) < 1e-6 for vector in vectors)
single = struct.Struct("<72f")
listed = client.embeddings.create(**encoder, encoding_format="float", dimensions=72)
assert [single.pack(*one.embedding) for one in listed.data] == [single.pack(*v) for v in vectors]
alone = client.embeddings.create(**(encoder | {"input": texts[1]}))
assert alone.data[0].embedding == vectors[1], "whatever the company"
assert made.usage.total_tokens == made.usage.prompt_tokens > alone.usage.prompt_tokens
assert made.model_extra["tilth"]["receipt"]["receipt"]["prompt-tokens"] == made.usage.prompt_tokens
tokens = client.embeddings.create(**(encoder | {"input": [[40, 41], [42]]}))
assert len(tokens.data) == 2 and tokens.usage.prompt_tokens == 3 + 2 * 2
one = client.embeddings.create(**(encoder | {"input": [40, 41]}))
assert one.data[0].embedding == tokens.data[0].embedding


# What is refused, and as what.
def not_embedded(**change):
    try:
        client.embeddings.create(**(encoder | change))
    except openai.BadRequestError as error:
        return error
    raise AssertionError(f"{change} was not refused")


assert not_embedded(model="synthetic").param == "model"
assert not_embedded(dimensions=5).param == "dimensions"
assert not_embedded(input=["a", ""]).param == "input"
assert not_embedded(input=[]).param == "input"
long = not_embedded(input=["short", "farm " * 100])
assert (long.code, long.param) == ("context_length_exceeded", "input")


def refused(kind, **change):
    try:
        client.chat.completions.create(**(question | change))
    except kind as error:
        return error
    raise AssertionError(f"{change} was not refused")


assert refused(openai.NotFoundError, model="other").code == "model_not_found"
assert refused(openai.BadRequestError, max_tokens=500).code == "context_length_exceeded"
assert refused(openai.BadRequestError, temperature=9).param == "temperature"
assert refused(openai.BadRequestError, n=100).param == "n"
assert refused(openai.BadRequestError, model="synthetic encoder").param == "model"
schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
assert refused(openai.BadRequestError, response_format=schema).param == "response_format"
dated = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}}
schema["json_schema"]["schema"] = dated
odd = refused(openai.BadRequestError, response_format=schema)
assert odd.param == "response_format" and "schema.properties.day.format" in odd.message
assert refused(openai.BadRequestError, tools=[{"type": "function"}]).param == "tools"
long = [{"role": "user", "content": "long " * 100}]
assert refused(openai.BadRequestError, messages=long).code == "context_length_exceeded"
stranger = openai.OpenAI(base_url=base_url, api_key="sk-none", max_retries=0)
try:
    stranger.models.list()
    raise AssertionError("a stranger was let in")
except openai.AuthenticationError as error:
    assert error.code == "invalid_api_key"
print("ok")
