"""Settings come from flags and environment, and bad ones are refused with a sentence."""

import json

import pytest

from modelservice_operator.settings import parse_settings

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "POD_NAME": "operator-0"}


def test_parse_settings_in_a_pod_uses_its_service_account():
    settings = parse_settings([], POD | {"POD_NAMESPACE": "modelservice-system"})
    assert settings.cluster_url == "https://10.96.0.1:443"
    assert settings.lease.namespace == "modelservice-system"
    assert settings.lease.identity == "operator-0"


def test_parse_settings_with_ipv6_service_address_brackets_it():
    assert parse_settings([], {"KUBERNETES_SERVICE_HOST": "fd00::1"}).cluster_url == "https://[fd00::1]:443"


def test_parse_settings_with_kubeconfig_flag_wins_over_the_pod():
    settings = parse_settings(["--kubeconfig", "/tmp/k"], POD)
    assert (settings.cluster_url, settings.kubeconfig) == (None, "/tmp/k")


def test_parse_settings_outside_a_pod_takes_kubeconfig_from_the_environment():
    settings = parse_settings([], {"KUBECONFIG": "/tmp/k"})
    assert (settings.cluster_url, settings.kubeconfig) == (None, "/tmp/k")


@pytest.mark.parametrize("argv", [["--workers", "0"], ["--lease-retry-seconds", "-1"], ["--log-level", "X"]])
def test_parse_settings_with_bad_value_names_the_flag(argv, capsys):
    with pytest.raises(SystemExit):
        parse_settings(argv, {})
    assert argv[0] in capsys.readouterr().err


def test_parse_settings_network_policy_is_what_a_spec_would_say():
    assert parse_settings([], {}).network_policy.mode == "Strict"
    settings = parse_settings(['--network-policy={"extraPorts": [15008], "from": [{"podSelector": {}}]}'], {})
    assert settings.network_policy.to_dict() == {
        "mode": "Strict",
        "from": [{"podSelector": {}}],
        "extraPorts": [15008],
    }


def test_parse_settings_component_peers_are_those_of_a_spec(capsys):
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "system"}},
        "podSelector": {},
    }
    settings = parse_settings([f"--component-peers={json.dumps([peer])}"], {})
    assert [one.to_dict() for one in settings.component_peers] == [peer]
    assert parse_settings([], {}).component_peers == ()
    for text in ("[", '[{"podSelectors": {}}]', "{}", '[], "mode": "Disabled"'):
        with pytest.raises(SystemExit):
            parse_settings([f"--component-peers={text}"], {})
        assert "--component-peers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "expected JSON"),
        ('{"mode": "Off"}', "mode: expected 'Strict' or 'Disabled'"),
        ('{"x": 1}', "x: unknown"),
    ],
)
def test_parse_settings_with_bad_network_policy_says_why(text, sentence, capsys):
    with pytest.raises(SystemExit):
        parse_settings([f"--network-policy={text}"], {})
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "lease"),
    [
        ("modelservice-autoscaler.system.svc:9090", ("system", "modelservice-autoscaler")),
        ("10.0.0.7:9090", None),
        ("", None),
    ],
)
def test_parse_settings_scaler_address_tells_where_the_autoscalers_lease_is(address, lease):
    settings = parse_settings([f"--scaler-address={address}"], {})
    assert (settings.scaler_address, settings.autoscaler_lease) == (address, lease)


def test_parse_settings_activator_service_is_a_namespace_and_a_name(capsys):
    assert parse_settings([], {}).activator is None
    assert parse_settings(["--activator-service="], {}).activator is None
    assert parse_settings(["--activator-service=system/activator"], {}).activator == ("system", "activator")
    with pytest.raises(SystemExit):
        parse_settings(["--activator-service=activator"], {})
    assert "expected NAMESPACE/NAME, got 'activator'" in capsys.readouterr().err


def test_parse_settings_namespaces_are_those_that_are_named_each_once():
    assert parse_settings([], {}).scopes == (None,)
    settings = parse_settings(["--namespace=b", "--namespace", "a", "--namespace=b", "--runtimes=/r"], {})
    assert settings.namespaces == settings.scopes == ("b", "a")
    assert settings.runtimes_file == "/r"


@pytest.mark.parametrize(
    ("argv", "flag"), [(["--namespace="], "--namespace"), (["--runtimes=/r"], "--namespace")]
)
def test_parse_settings_runtimes_without_namespaces_and_no_name_are_refused(argv, flag, capsys):
    with pytest.raises(SystemExit):
        parse_settings(argv, {})
    assert flag in capsys.readouterr().err
