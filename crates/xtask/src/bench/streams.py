"""Asks a server that speaks the OpenAI API, some streams at once: streams.py URL KEY STREAMS TOKENS TIMES FIRST

FIRST is the number of the first question: whoever calls this again goes on counting.

Prints one line of JSON: how many answers came whole and how many did not, their tokens as the server counts them, the
times to the first token and from there to the end, and the processor seconds that this program took itself.
"""

import http.client
import json
import sys
import threading
import time
import urllib.parse

url, key, *numbers = sys.argv[1:]
streams, tokens, times, first_number = map(int, numbers)
url = urllib.parse.urlparse(url)
headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
whole, faults = [], []


def only_model():
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    connection.request("GET", url.path + "/models", headers=headers)
    return json.load(connection.getresponse())["data"][0]["id"]


def ask(number):
    # Each begins with another number, so that no server may keep what it has computed of an earlier one.
    text = f"Question {number}: tell a long story about a farm in a valley, " + "and what grew there in each year, " * 8
    question = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    connection = http.client.HTTPConnection(url.netloc, timeout=900)
    started = time.perf_counter()
    connection.request("POST", url.path + "/chat/completions", json.dumps(question), headers)
    reply = connection.getresponse()
    if reply.status != 200:
        raise ValueError(f"status {reply.status}: {reply.read()[:300]}")
    first, count, done = None, None, False
    for line in reply:
        line = line.strip()
        if not line.startswith(b"data: "):
            continue
        if line == b"data: [DONE]":
            done = True
            break
        event = json.loads(line[6:])
        if "error" in event:
            raise ValueError(f"error after the beginning: {event}")
        if any(choice.get("delta", {}).get("content") for choice in event.get("choices", [])):
            first = first or time.perf_counter()
        count = (event.get("usage") or {}).get("completion_tokens", count)
    ended = time.perf_counter()
    connection.close()
    if not done or first is None or not count:
        raise ValueError(f"cut short: done {done}, first {first}, tokens {count}")
    whole.append((count, first - started, ended - first))


def tried(number):
    try:
        ask(number)
    except (OSError, ValueError, http.client.HTTPException) as error:
        faults.append(repr(error))


model = only_model()
started = time.perf_counter()
for time_ in range(times):
    threads = [threading.Thread(target=tried, args=(first_number + time_ * streams + i,)) for i in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
first = sorted(one[1] for one in whole) or [0]
print(
    json.dumps(
        {
            "whole": len(whole),
            "lost": len(faults),
            "faults": faults[:3],
            "tokens": sum(one[0] for one in whole),
            "wall": time.perf_counter() - started,
            "first": first[len(first) // 2],
            "last-first": first[-1],
            "rest": sum(one[2] for one in whole),
            "client": time.process_time(),
        }
    )
)
