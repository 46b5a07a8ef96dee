// The official JavaScript client runs its usual flows against a gateway: flow.mjs BASE_URL KEY.
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 120_000 });

const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.deepEqual(models, ["synthetic", "synthetic encoder"]);

const question = {
  model: "synthetic",
  messages: [
    { role: "system", content: "Be short." },
    { role: "user", content: [{ type: "text", text: "Say something." }] },
  ],
  max_completion_tokens: 20,
  seed: 11,
};
const whole = await client.chat.completions.create(question);
const text = whole.choices[0].message.content;
assert.equal(whole.object, "chat.completion");
assert.equal(whole.usage.completion_tokens, whole.choices[0].tilth.receipt.receipt["output-tokens"]);

// The helper that puts a stream together again.
const stream = client.chat.completions.stream(question);
let heard = "";
stream.on("content", (part) => (heard += part));
const final = await stream.finalChatCompletion();
assert.equal(final.choices[0].message.content, text);
assert.equal(heard, text);
assert.equal(final.choices[0].finish_reason, whole.choices[0].finish_reason);

// Breaking off in the middle keeps nobody waiting.
const broken = await client.chat.completions.create({ ...question, stream: true });
for await (const chunk of broken) {
  if (chunk.choices[0]?.delta?.content) break;
}
const plain = await client.completions.create({
  model: "synthetic", prompt: "Once", max_tokens: 5, temperature: 0, logprobs: 2,
});
assert.equal(plain.choices[0].logprobs.tokens.length, plain.usage.completion_tokens);

// An answer that keeps to a schema; no longer one has so many bytes, white space and all.
const held = await client.chat.completions.create({
  ...question,
  max_completion_tokens: 150,
  response_format: {
    type: "json_schema",
    json_schema: {
      name: "verdict",
      strict: true,
      schema: {
        type: "object",
        properties: { ok: { type: "boolean" } },
        required: ["ok"],
        additionalProperties: false,
      },
    },
  },
});
assert.equal(held.choices[0].finish_reason, "stop");
const verdict = JSON.parse(held.choices[0].message.content);
assert.deepEqual(Object.keys(verdict), ["ok"]);
assert.equal(typeof verdict.ok, "boolean");

// Whole numbers within bounds, as zod writes `z.int().min(-5).max(300)` and `z.int()`. Of the first no longer answer has
// so many bytes; the second may be cut off.
const counted = async (minimum, maximum) => {
  const schema = {
    type: "object",
    properties: { n: { type: "integer", minimum, maximum } },
    required: ["n"],
    additionalProperties: false,
  };
  const answer = await client.chat.completions.create({
    ...question,
    max_completion_tokens: 150,
    response_format: { type: "json_schema", json_schema: { name: "count", strict: true, schema } },
  });
  const [{ finish_reason, message }] = answer.choices;
  if (finish_reason === "length") return undefined;
  const { n } = JSON.parse(message.content);
  assert(Number.isSafeInteger(n) && minimum <= n && n <= maximum, message.content);
  return n;
};
assert.notEqual(await counted(-5, 300), undefined);
await counted(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);

// Unless told otherwise the client asks for bytes and makes numbers of them.
const inputs = { model: "synthetic encoder", input: ["the farm", "farms, and the rest!"] };
const made = await client.embeddings.create(inputs);
const listed = await client.embeddings.create({ ...inputs, encoding_format: "float" });
assert.equal(made.data.length, 2);
for (const [index, one] of made.data.entries()) {
  assert.equal(one.index, index);
  assert.equal(one.embedding.length, 72);
  assert.deepEqual(listed.data[index].embedding.map(Math.fround), Array.from(one.embedding));
}
assert.equal(made.usage.total_tokens, made.tilth.receipt.receipt["prompt-tokens"]);
await assert.rejects(
  client.embeddings.create({ ...inputs, dimensions: 5 }),
  (error) => error instanceof OpenAI.BadRequestError && error.param === "dimensions",
);

await assert.rejects(
  client.chat.completions.create({ ...question, top_p: 7 }),
  (error) => error instanceof OpenAI.BadRequestError && error.param === "top_p",
);
await assert.rejects(
  client.chat.completions.create({ ...question, messages: [] }),
  OpenAI.BadRequestError,
);
console.log("ok");
