"""The command of onnxruntime-genai's model builder, which makes decoders with GroupQueryAttention."""

from pathlib import Path

PRECISIONS = ("int4", "int8", "fp16", "fp32")


def builder_command(
    python: Path | str, source: Path, output: Path, precision: str, cache: Path, *, is_fused: bool = True
) -> list[str]:
    """Return the command that makes a folder of a local one of transformers.

    For a CPU it takes another attention in fp16, so that is built as for a GPU; a CPU runs it too.
    Scores are computed of the last token alone (`prune_lm_head`): those of a prompt nobody asks for.
    An adapter is for the matrices of queries, keys and values, which are one where `is_fused`.
    """
    command = [str(python), "-P", "-s", "-m", "onnxruntime_genai.models.builder"]
    command += ["-i", str(source), "-o", str(output), "-p", precision, "-c", str(cache)]
    command += ["-e", "cuda" if precision == "fp16" else "cpu"]
    command += ["--extra_options", "hf_token=false", "hf_remote=false", "prune_lm_head=true"]
    return command if is_fused else [*command, "fuse_qkv=false"]
