"""Chat templates render as Hugging Face's do, and can take neither the server's time nor its memory."""

# ruff: noqa: E501 - a template is one line

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.text.folder_text import load_text
from modelservice_runtime.generation.text.template.chat_template import ChatTemplate, load_chat_template
from modelservice_runtime.generation.text.template.messages import prepare_messages

USER = {"role": "user", "content": "Grüße <|im_end|> & 'so'"}
TOOLS = [
    {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
]
CALL = {"id": "call_1234567890", "type": "function", "function": {"name": "add", "arguments": '{"a": "ü"}'}}
CONVERSATION = [
    {"role": "system", "content": " Be brief. "},
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1234567890", "content": "3"},
]


def render(source: str, messages: object = None, tools: object = None, **variables: object) -> str:
    template = ChatTemplate({"default": source}, {"bos_token": "<s>", "eos_token": "</s>"})
    return template.render(messages or CONVERSATION, tools, variables)  # type: ignore[arg-type]


def render_as_hugging_face(source: str, tools: object, variables: Mapping[str, object]) -> str:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    values = {"bos_token": "<s>", "eos_token": "</s>", "documents": None, "tools": tools, **variables}
    return environment.from_string(source).render(messages=prepare_messages(CONVERSATION, source), **values)


# What chat templates are written with, each in a line of its own.
SOURCES = [
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m['content'] | trim }}{{ eos_token }}\n{% endfor %}",
    "{% for m in messages if m.role != 'system' %}{{ loop.index }}/{{ loop.length }} {{ loop.last }}\n{% endfor %}",
    "{%- set ns = namespace(last=0, text='') %}{% for m in messages[::-1] %}{% set ns.last = ns.last + loop.index0 %}{% set ns.text = ns.text ~ m.role ~ '-' %}{% endfor %}{{ ns.last }} {{ ns.text }}",
    "{% macro line(m, end='.') %}{{ m.role + ': ' + m.content }}{{ end }}{% endmacro %}{% for m in messages %}{{ line(m) }}{{ line(m, end='!') }}{% endfor %}",
    "{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for c in m.tool_calls %}{% set c = c.function %}{\"name\": \"{{ c.name }}\", \"arguments\": {{ c.arguments | tojson }}}{% endfor %}{% endif %}{% endfor %}",
    "{{ tools | tojson(indent=4) }}{{ tools | default([], true) | length }}{{ tools is none }}{{ tools is not none and tools }}",
    "{% for k, v in messages[0].items() %}{{ k }}={{ v | upper }};{% endfor %}{{ messages[0] | dictsort }}",
    "{{ messages | map(attribute='role') | join(', ') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    "{{ messages | rejectattr('role', 'in', ['user', 'tool']) | map(attribute='role') | list }}",
    "{{ messages[1].content.split('<')[0].strip() }}{{ 'a,b'.split(',')[-1] }}{{ messages[0].content[1:3] }}",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% set x %}a {{ messages | length }}{% endset %}{{ x }}{{ x | indent(2, true) }}{{ 'a\nb' | indent }}",
    "{{ enable_thinking is defined and enable_thinking is false }}{{ nothing | default('none') }}{{ nothing }}",
    "{{ '%s and %d' % ('a', 3) }}{{ '{} {x}'.format('a', x=1) }}{{ 3 // 2 }}{{ 7 % 4 }}{{ 'ab' * 3 }}{{ 2 ** 3 }}",
    "{{ 'a' if messages[0].role == 'system' else 'b' }}{{ 'im_end' in messages[1].content }}{{ 1 in [1, 2] }}",
    "{{ ['b', 'a'] | sort | first }}{{ [1, 2] + [3] }}{{ (1, 2) | last }}{{ {'a': 1}['a'] }}{{ none }}{{ true }}",
    "{{ 'a' ~ 1 ~ none ~ [1] }}{{ '<b>' | safe + '<' }}{{ '<' | e }}{{ 'x' | replace('x', 'y') }}{{ -3 | abs }}",
    "{%- for m in messages -%}\n    {%- if loop.first %}first{% else %} {{ loop.previtem.role }}{% endif -%}\n{% endfor %}",
    "{% filter upper %}a{{ messages[0].role }}{% endfilter %}{{ 'b' | string | title }}{{ 'ab' | list }}{{ 'c' is string }}",
]  # fmt: skip


@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("source", SOURCES)
def test_templates_render_as_those_of_hugging_face(source: str, tools: object) -> None:
    variables = {"enable_thinking": False, "add_generation_prompt": True}

    assert render(source, None, tools, **variables) == render_as_hugging_face(source, tools, variables)


def test_marks_for_training_are_what_they_hold() -> None:
    assert render("{% generation %}a{{ 1 }}{% endgeneration %}b") == "a1b"


def test_time_of_day_can_be_told() -> None:
    assert render("{{ strftime_now('%Y') }}") in (time.strftime("%Y"), str(int(time.strftime("%Y")) + 1))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{{ raise_exception('roles must alternate') }}", "refuses the conversation: roles must alternate"),
        ("{{ nothing.at.all }}", "refuses the conversation: 'nothing' is undefined"),
        ("{{ 1 + 'a' }}", "refuses the conversation: unsupported operand"),
        ("{% for m in messages %}", "cannot be used: Unexpected end of template"),
        ("{{ 1 | unknown }}", "cannot be used: No filter named 'unknown'"),
        ("{% include 'a' %}", "cannot be used: the tag include is not served"),
        ("x" * 300_000, "too large to be used"),
    ],
)
def test_what_a_template_refuses_is_told(source: str, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        render(source)


def test_model_without_a_template_asks_for_completions() -> None:
    with pytest.raises(InvalidRequestError, match=r"no chat template: put chat_template\.jinja beside it"):
        ChatTemplate({}, {}).render([USER], None, {})


# Attacks: templates that would take minutes or gigabytes in Jinja2's own sandbox.

TWICE = "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
TUPLES = "{% set ns = namespace(x=1) %}{% macro m() %}{% set ns.x = varargs %}{% endmacro %}{% for i in range(64) %}{{ m(ns.x, ns.x) }}{% endfor %}"
LONG = "{% set a = 'a' * 100000 %}"
ATTACKS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops that skip": "{% for c in range(99999) %}{% for a in range(99999) if a < 0 %}{% endfor %}{% endfor %}",
    "loops over loops": "{% for a in range(99999) %}{% set b = range(99999) | map('string') | list %}{% endfor %}",
    "calls": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(64) }}",
    "calls without end": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "loops that call themselves": "{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "repeated text": "{{ 'a' * 10 ** 10 }}",
    "repeated constant": "{{ 'a' * 10000000000 }}",
    "repeated list": "{{ [1] * 10000000000 }}",
    "doubled text": "{% set ns = namespace(x='a') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "added text": "{% set ns = namespace(x='a') %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "added lists": "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "nested, printed": TWICE + "{{ ns.x }}",
    "nested, in JSON": TWICE + "{{ ns.x | tojson }}",
    "nested, joined": TWICE + "{{ 'a' ~ ns.x }}",
    "nested, formatted": TWICE + "{{ '%s' % ns.x }}",
    "nested, filled in": TWICE + "{{ '{}'.format(ns.x) }}",
    "nested, compared": TWICE + "{{ ns.x == ns.y }}",
    "nested, tested": TWICE + "{{ [ns.x] | select('equalto', ns.y) | list }}",
    "nested, searched": TWICE + "{{ ns.x in [ns.y] }}",
    "nested, counted": TWICE + "{{ [ns.x].count(ns.y) }}",
    "nested, sorted": TWICE + "{{ [ns.x, ns.y] | sort }}",
    "nested, unique": TWICE + "{{ [ns.x, ns.y] | unique | list }}",
    "nested, the highest": TWICE + "{{ [ns.x, ns.y] | max }}",
    "nested, in a namespace": TWICE + "{{ ns }}",
    "nested, in a namespace as text": TWICE + "{{ ns | string }}",
    "nested, changed": TWICE + "{% for x in [ns.x, ns.y] %}{{ loop.changed(x) }}{% endfor %}",
    "nested keys": TUPLES + "{{ {ns.x: 1} }}",
    "nested keys looked up": TUPLES + "{{ {'a': 1}[ns.x] }}",
    "nested keys asked for": TUPLES + "{{ {'a': 1}.get(ns.x) }}",
    "powers": "{{ 9 ** 9 ** 9 }}",
    "products": "{% set ns = namespace(x=9) %}{% for i in range(64) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "replaced": LONG + "{{ a.replace('a', a) }}",
    "replaced by a filter": LONG + "{{ a | replace('a', a) }}",
    "joined": LONG + "{{ a.join(a) }}",
    "joined by a filter": LONG + "{{ a | join(a) }}",
    "wide": "{{ 'a'.ljust(10000000000) }}",
    "wide by a filter": "{{ 'a' | center(10000000000) }}",
    "wide format": "{{ '{:>10000000000}'.format(1) }}",
    "wide number": "{{ '%10000000000d' % 1 }}",
    "wide number by a filter": "{{ '%10000000000d' | format(1) }}",
    "wide time": "{{ strftime_now('%1000000000d') }}",
    "indented": "{{ ('\n' * 99999) | indent(99999) }}",
    "indented JSON": "{{ [[1]] | tojson(indent=10000000000) }}",
    "separated JSON": LONG + "{{ range(99999) | list | tojson(separators=[a, a]) }}",
    "filled": "{{ [1] | batch(10000000000, 1) | list }}",
    "rounded": "{{ 1 | round(-1000000000) }}",
    "text of macros": "{% macro m() %}" + "x" * 99999 + "{% endmacro %}{% for i in range(9999) %}{% set a = m() %}{% endfor %}",
    "text of blocks": "{% for i in range(9999) %}{% set a %}" + "x" * 99999 + "{% endset %}{% endfor %}",
    "slices": "{% set a = range(99999) | list %}{% for i in range(9999) %}{% set b = a[1:] %}{% endfor %}",
    "searches": "{% set a = range(99999) | list %}{% for i in range(9999) %}{% set b = -1 in a %}{% endfor %}",
    "splits": LONG + "{% for i in range(9999) %}{% set b = a.split('b') %}{% endfor %}",
    "brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "lists in lists": "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "blocks in blocks": "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "signs": "{{ " + "-" * 5000 + "1 }}",
    "insides of Python": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "insides by a filter": "{{ '' | attr('__class__') }}",
    "insides by a format": "{{ '{0.__class__}'.format(1) }}",
    "changes of the conversation": "{{ messages.append(1) }}",
    "files": "{% include '/etc/passwd' %}",
    "imports": "{% import 'os' as os %}",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_end_as_an_error_of_the_request(attack: str) -> None:
    with pytest.raises(InvalidRequestError, match="the model's chat template"):
        render(ATTACKS[attack], [USER])


def test_long_conversations_are_no_attack() -> None:
    messages = [{"role": "user", "content": "x" * 200}, {"role": "assistant", "content": "y" * 200}] * 2000
    source = (
        "{% set ns = namespace(n=0) %}{% for m in messages[::-1] %}{% if m.role == 'user' %}"
        "{% set ns.n = ns.n + 1 %}{% endif %}{% endfor %}"
        "{% for m in messages %}{{ '<' + m.role + '>' + m.content.strip() ~ '\n' }}{% endfor %}"
    )

    assert len(render(source, messages)) == 4000 * 201 + 2000 * (6 + 11)


def test_one_long_text_is_no_attack() -> None:
    text = "ä" * 5_000_000

    assert (
        render("{{ messages[0].content | trim + '\n' }}", [{"role": "user", "content": text}]) == text + "\n"
    )


# Conversations.


def test_parts_become_one_text_and_nothing_an_empty_one() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    prepared = prepare_messages([{"role": "user", "content": parts}, {"role": "assistant"}], "")

    assert [message["content"] for message in prepared] == ["a\nb", ""]


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ({"content": [{"type": "image_url", "image_url": {}}]}, r"messages\[0\].content has a part of type 'image_url'"),
        ({"content": 3}, r"messages\[0\].content is a int, expected a list"),
        ({"content": [{"type": "text"}]}, "expected text"),
        ({"tool_calls": [{"function": {"name": "a", "arguments": "{"}}]}, "arguments that are no JSON object"),
        ({"tool_calls": [{"function": {"name": "a", "arguments": "[]"}}]}, "arguments that are no JSON object"),
        ({"tool_calls": [{"function": {}}]}, "without function.name"),
    ],
)  # fmt: skip
def test_messages_that_cannot_be_read_are_refused(message: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        prepare_messages([{"role": "user", **message}], "")


def test_arguments_of_calls_are_objects_to_templates_and_the_conversation_stays_as_it_was() -> None:
    prepared = prepare_messages(CONVERSATION, "")

    assert prepared[2]["tool_calls"][0]["function"]["arguments"] == {"a": "ü"}
    assert CONVERSATION[2]["tool_calls"][0]["function"]["arguments"] == '{"a": "ü"}'  # type: ignore[index]


def test_developers_are_systems_to_templates_that_do_not_know_them() -> None:
    messages = [{"role": "developer", "content": "a"}]

    assert prepare_messages(messages, "system")[0]["role"] == "system"
    assert prepare_messages(messages, "'developer'")[0]["role"] == "developer"


def test_ids_of_calls_are_short_where_the_template_wants_it() -> None:
    long = prepare_messages(CONVERSATION, "")
    short = prepare_messages(CONVERSATION, "{% if tool_call.id | length != 9 %}")

    assert long[3]["tool_call_id"] == "call_1234567890"
    assert len(short[3]["tool_call_id"]) == 9
    assert short[3]["tool_call_id"] == short[2]["tool_calls"][0]["id"]


# What `apply_chat_template` of transformers 5.24 gives for the same.
@pytest.mark.parametrize(
    ("content", "shown", "end"),
    [
        ("The capital ", "{{ m.content }}", "<|im_start|>assistant\nThe capital "),
        ("The capital ", "{{ m.content | trim }}", "<|im_start|>assistant\nThe capital"),
        # Found in what stands behind the message, too.
        ("|", "{{ m.content }}", "<|im_start|>assistant\n|"),
        ("<", "{{ m.content }}", "<|im_start|>assistant\n<"),
        ("m", "{{ m.content | trim }}", "<|im_start|>assistant\nm"),
    ],
)
def test_last_message_can_be_continued(content: str, shown: str, end: str) -> None:
    source = (
        f"{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}\n{shown}<|im_end|>\n{{% endfor %}}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    messages = [USER, {"role": "assistant", "content": content}]

    text = render(source, messages, add_generation_prompt=True, continue_final_message=True)

    assert text.endswith(f"<|im_end|>\n{end}")
    assert messages[-1]["content"] == content


def test_last_message_that_is_not_shown_cannot_be_continued() -> None:
    with pytest.raises(InvalidRequestError, match="does not show the last message"):
        render("{{ messages[0].content }}", [USER, USER], continue_final_message=True)


# Folders.


def write(folder: Path, **config: object) -> Path:
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": {"content": "<s>"}, **config}))
    return folder


def test_template_of_the_configuration_is_taken_with_its_special_tokens(tmp_path: Path) -> None:
    folder = write(tmp_path, chat_template="{{ bos_token }}{{ messages[0].content }}", eos_token=None)

    assert load_chat_template(folder).render([{"content": "a"}], None, {}) == "<s>a"


def test_template_of_a_file_of_its_own_comes_first(tmp_path: Path) -> None:
    folder = write(tmp_path, chat_template="old")
    (folder / "chat_template.jinja").write_text("new {{ bos_token }}")

    assert load_chat_template(folder).render([USER], None, {}) == "new <s>"


def test_template_for_tools_is_taken_where_there_are_tools(tmp_path: Path) -> None:
    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "with tools"}]
    template = load_chat_template(write(tmp_path, chat_template=named))

    assert template.render([USER], None, {}) == "plain"
    assert template.render([USER], TOOLS, {}) == "with tools"


def test_folder_of_a_chat_model_renders(tiny_chat: Path) -> None:
    text = load_text(tiny_chat)

    prompt = text.render_chat(
        [{"role": "user", "content": "Say hello."}], None, {"add_generation_prompt": True}
    )

    assert prompt == "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n"
    assert text.decode(text.encode(prompt)) == "user\nSay hello.\nassistant\n"
