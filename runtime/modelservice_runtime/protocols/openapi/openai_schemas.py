"""JSON Schemas of what OpenAI's API and Triton's generate take and give here; data only. See `schemas`.

Of requests they name what the server reads; what else it is sent is ignored, or refused by name.
"""

from typing import Any

from modelservice_runtime.protocols.openapi.schemas import (
    ANY,
    BOOLEAN,
    COUNT,
    NUMBER,
    OBJECT,
    STRING,
    Schema,
    array,
    nullable,
    one_of,
    open_record,
    record,
    ref,
)

_WHOLE: Schema = {"type": "integer"}
_STOP: Schema = {"description": "a text that ends the answer, or up to 16 of them"}
_FINISH: Schema = {"enum": ["stop", "length", "tool_calls"]}
_SAMPLING: dict[str, Schema] = {
    "stream": nullable(BOOLEAN),
    "stream_options": nullable(OBJECT),
    "temperature": nullable(NUMBER),
    "top_p": nullable(NUMBER),
    "top_k": nullable(_WHOLE),
    "min_p": nullable(NUMBER),
    "presence_penalty": nullable(NUMBER),
    "frequency_penalty": nullable(NUMBER),
    "repetition_penalty": nullable(NUMBER),
    "logit_bias": nullable(OBJECT),
    "seed": nullable(_WHOLE),
    "stop": _STOP,
    "stop_token_ids": nullable(array(_WHOLE)),
    "min_tokens": nullable(_WHOLE),
    "ignore_eos": nullable(BOOLEAN),
    "include_stop_str_in_output": nullable(BOOLEAN),
    "priority": nullable(_WHOLE),
    "cache_salt": nullable(STRING),
    "structured_outputs": nullable(OBJECT),
    "guided_json": {"description": "a JSON schema, or its text"},
    "guided_regex": nullable(STRING),
    "guided_choice": nullable(array(STRING)),
    "best_of": {**nullable(_WHOLE), "description": "no other than n"},
}
_COMMON: dict[str, Schema] = {**_SAMPLING, "max_tokens": nullable(_WHOLE), "n": nullable(_WHOLE)}
_OPENAI: dict[str, Schema] = {
    **_COMMON,
    "max_completion_tokens": nullable(_WHOLE),
    "response_format": nullable(OBJECT),
}
_TEMPLATE: dict[str, Schema] = {
    "chat_template_kwargs": nullable(OBJECT),
    "add_generation_prompt": nullable(BOOLEAN),
    "continue_final_message": nullable(BOOLEAN),
}

# What a response says of its request.
_REPEATED: dict[str, Schema] = {
    "background": BOOLEAN,
    "instructions": nullable(STRING),
    "max_output_tokens": nullable(COUNT),
    "max_tool_calls": nullable(COUNT),
    "metadata": OBJECT,
    "parallel_tool_calls": BOOLEAN,
    "previous_response_id": ANY,
    "prompt_cache_key": nullable(STRING),
    "reasoning": OBJECT,
    "safety_identifier": nullable(STRING),
    "service_tier": STRING,
    "store": BOOLEAN,
    "text": OBJECT,
    "tool_choice": ANY,
    "tools": array(OBJECT),
    "top_logprobs": COUNT,
    "truncation": STRING,
    "user": nullable(STRING),
    "temperature": NUMBER,
    "top_p": NUMBER,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
}


def _answer(choice: dict[str, Schema], kind: str) -> Schema:
    head: dict[str, Any] = {"id": STRING, "object": {"enum": [kind]}, "created": COUNT, "model": STRING}
    whole = {"index": COUNT, "logprobs": ANY, "finish_reason": _FINISH, **choice}
    return record({**head, "choices": array(record(whole)), "usage": ref("Usage")})


OPENAI_SCHEMAS: dict[str, Schema] = {
    "OpenAiError": one_of(
        record({"error": record({"message": STRING, "type": STRING, "param": ANY, "code": ANY})}),
        ref("Error"),
    ),
    "OpenAiModel": record(
        {"id": STRING, "object": STRING, "created": COUNT, "owned_by": STRING},
        {"root": STRING, "parent": ANY, "max_model_len": COUNT},
    ),
    "AllModels": record({"object": STRING, "data": array(ref("OpenAiModel")), "models": array(STRING)}),
    "ModelStatusOrModel": one_of(ref("ModelStatus"), ref("OpenAiModel")),
    "Usage": record(
        {"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT},
        {"prompt_tokens_details": record({"cached_tokens": COUNT})},
    ),
    "ChatRequest": open_record(
        {"model": STRING, "messages": array(OBJECT, minItems=1)},
        {
            **_OPENAI,
            **_TEMPLATE,
            "logprobs": nullable(BOOLEAN),
            "top_logprobs": nullable(_WHOLE),
            "tools": nullable(array(OBJECT)),
            "tool_choice": ANY,
            "parallel_tool_calls": nullable(BOOLEAN),
        },
    ),
    "ChatCompletion": _answer({"message": ref("ChatMessage")}, "chat.completion"),
    "ChatMessage": record(
        {"role": STRING, "content": nullable(STRING), "refusal": ANY}, {"tool_calls": array(OBJECT)}
    ),
    "CompletionRequest": open_record(
        {"model": STRING, "prompt": {"description": "a text, token ids, or a list of these"}},
        {**_OPENAI, "logprobs": nullable(_WHOLE), "echo": nullable(BOOLEAN)},
    ),
    "Completion": _answer({"text": STRING}, "text_completion"),
    "ResponseRequest": open_record(
        {"model": STRING, "input": {"description": "a text, or a list of items"}},
        {
            **_SAMPLING,
            **_TEMPLATE,
            "n": {"enum": [1, None]},
            "instructions": nullable(STRING),
            "max_output_tokens": nullable(_WHOLE),
            "include": nullable(array(STRING)),
            "top_logprobs": nullable(_WHOLE),
            "text": nullable(OBJECT),
            "tools": nullable(array(OBJECT)),
            "tool_choice": ANY,
            "parallel_tool_calls": nullable(BOOLEAN),
            "metadata": nullable(OBJECT),
            "reasoning": nullable(OBJECT),
            "truncation": {"enum": ["auto", "disabled", None]},
            "store": {**nullable(BOOLEAN), "description": "nothing is stored"},
            "max_tool_calls": nullable(_WHOLE),
            "prompt_cache_key": nullable(STRING),
            "safety_identifier": nullable(STRING),
            "user": nullable(STRING),
        },
    ),
    "Response": record(
        {
            "id": STRING,
            "object": {"enum": ["response"]},
            "created_at": COUNT,
            "completed_at": nullable(COUNT),
            "status": {"enum": ["completed", "incomplete"]},
            "error": ANY,
            "incomplete_details": nullable(OBJECT),
            "model": STRING,
            "output": array(OBJECT),
            "usage": ref("ResponseUsage"),
            **_REPEATED,
        }
    ),
    "ResponseUsage": record(
        {
            "input_tokens": COUNT,
            "input_tokens_details": record({"cached_tokens": COUNT, "cache_write_tokens": COUNT}),
            "output_tokens": COUNT,
            "output_tokens_details": record({"reasoning_tokens": COUNT}),
            "total_tokens": COUNT,
        }
    ),
    "GenerateRequest": open_record(
        {"text_input": STRING}, {**_COMMON, "id": nullable(STRING), "parameters": nullable(OBJECT)}
    ),
    "GenerateResponse": record(
        {"model_name": STRING, "model_version": STRING, "text_output": STRING}, {"id": STRING}
    ),
    "EmbeddingRequest": open_record(
        {"model": STRING, "input": {"description": "a text, or a list of up to 2048"}},
        {
            "encoding_format": {"enum": ["float", "base64", None]},
            "dimensions": {**nullable(_WHOLE), "description": "no other than the model's"},
        },
    ),
    "EmbeddingList": record(
        {
            "object": STRING,
            "data": array(
                record(
                    {
                        "object": STRING,
                        "index": COUNT,
                        "embedding": {"description": "numbers, or base64 of little-endian float32"},
                    }
                )
            ),
            "model": STRING,
            "usage": record({"prompt_tokens": COUNT, "total_tokens": COUNT}),
        }
    ),
    "RerankRequest": open_record(
        {"model": STRING, "query": STRING, "documents": array(ANY, minItems=1)},
        {"top_n": nullable(_WHOLE), "return_documents": nullable(BOOLEAN)},
    ),
    "Ranking": record(
        {
            "id": STRING,
            "model": STRING,
            "usage": record({"total_tokens": COUNT}),
            "results": array(
                record({"index": COUNT, "relevance_score": NUMBER}, {"document": record({"text": STRING})})
            ),
        }
    ),
}
