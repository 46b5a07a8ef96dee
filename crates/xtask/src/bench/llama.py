"""llama.cpp beside ours: the same model, figures and form of lines as the example `infer`.

llama.py requantise FROM.gguf TO.gguf      every matrix as Q8_0
llama.py speed MODEL.gguf THREADS
llama.py serve MODEL.gguf SEQUENCES THREADS    its own server; says its address and runs until it is stopped
"""

import signal
import sys
import threading
import time

TEXT = "The farm grew wheat and barley, and in a good year there was enough for the whole valley. " * 40


def requantise(source, target):
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
    from gguf.quants import dequantize, quantize

    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        of = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, of)
    eight = GGMLQuantizationType.Q8_0
    for tensor in reader.tensors:
        numbers = np.array(tensor.data)
        if tensor.tensor_type == GGMLQuantizationType.F32:
            writer.add_tensor(tensor.name, numbers)
        else:
            numbers = quantize(dequantize(numbers, tensor.tensor_type), eight)
            writer.add_tensor(tensor.name, numbers, raw_dtype=eight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def start(model, sequences, threads):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_gpu_layers = 0
    params.n_ctx = 640 * sequences
    params.n_parallel = sequences
    params.n_batch = params.n_ubatch = 512
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.verbosity = -1
    return xllamacpp.Server(params)


def serve(model, sequences, threads):
    server = start(model, int(sequences), threads)
    print(server.listening_address, flush=True)
    signal.pause()


def speed(model, threads):
    import xllamacpp

    def complete(server, prompt, most):
        request = {"prompt": prompt, "n_predict": most, "temperature": 0.0, "top_k": 1, "samplers": ["top_k"],
                   "ignore_eos": True, "cache_prompt": False}
        return server.handle_completions(request)["timings"]

    def report(what, count, wall, used):
        print(f"{what}: {count / wall:.1f} tokens/s wall, {count / max(used, 0.01):.1f} tokens per CPU second", flush=True)

    print("kernels llama.cpp", xllamacpp.get_system_info().strip())
    one = start(model, 1, threads)
    complete(one, TEXT[:400], 4)
    for what, prompt, most in [("prefill", 512, 1), ("decode", 1, 64), ("decode after 512", 512, 64)]:
        # Token numbers beyond the specials; which ones does not matter to the time.
        tokens = [300 + i * 7 % 9000 for i in range(prompt)]
        before = time.process_time()
        timings = complete(one, tokens, most)
        used = time.process_time() - before
        part = "prompt" if what == "prefill" else "predicted"
        other = "predicted" if what == "prefill" else "prompt"
        count, wall = timings[part + "_n"], timings[part + "_ms"] / 1000
        # Processor time is of both parts: shared by their wall times.
        used *= wall / (wall + timings[other + "_ms"] / 1000)
        report(what, count, wall, used)
    del one
    eight = start(model, 8, threads)
    complete(eight, TEXT[:400], 4)
    answers = [threading.Thread(target=complete, args=(eight, [300 + i], 32)) for i in range(8)]
    before, wall = time.process_time(), time.perf_counter()
    for answer in answers:
        answer.start()
    for answer in answers:
        answer.join()
    report("batch of 8", 8 * 32, time.perf_counter() - wall, time.process_time() - before)


{"requantise": requantise, "serve": serve, "speed": speed}[sys.argv[1]](*sys.argv[2:])
