"""The committed example, with the model that the demo trains."""

from hack.demo import predict
from hack.demo.manifests import build_model_service
from hack.demo.training import EXAMPLE, train
from tests.support.installation import ROOT
from tests.support.serving import User


def test_spam_example_tells_spam_from_ham(user: User) -> None:
    trained = train(ROOT)
    pushed = user.push(trained.model.read_bytes(), "spam")
    committed = (ROOT / EXAMPLE / "modelservice.yaml").read_text(encoding="utf-8")
    manifest = build_model_service(committed, pushed["storageUri"], trained.sha256)
    user.kubectl.run("apply", "--namespace", user.namespace, "-f", "-", stdin=manifest)
    user.wait_ready(predict.MODEL)
    host, port = user.address(predict.MODEL)
    answers = predict.ask(f"http://{host}:{port}", predict.MESSAGES)
    assert tuple(answer.label for answer in answers) == predict.EXPECTED
    ham, spam = answers
    assert 0 <= ham.probability < 0.5 < spam.probability <= 1
