"""The image and what runs it: linted, valid by their schemas, true to one another, and its steps done by hand."""

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml
from conftest import (
    BIN,
    DEFAULTS,
    ONE_MODEL,
    Bake,
    BakedProject,
    bake_into,
    commit_all,
    linked,
    plain_environment,
    quicken,
    run,
)

MOST_BYTES = 250_000_000  # of what comes on top of the base image
QUICK = {
    **ONE_MODEL,
    "max_iter: 500": "max_iter: 20",
    "importance_rows: 2000": "importance_rows: 100",
    "folds: 5": "folds: 0",
}
# https://github.com/kserve/kserve: PredictorSpec, beside the fields of a pod
KSERVE = {"minReplicas": int, "maxReplicas": int, "timeout": int}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Generate a project for Kubernetes, with a name that a cluster does not take as it is."""
    answers = {"project_slug": "income_model-2", "package_name": "income_model", "deploy_target": "kubernetes"}
    return bake_into(tmp_path_factory.mktemp("image"), **answers)


def tool(project: BakedProject, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the template's environment in the project."""
    return project.run([str(BIN / words[0]), *words[1:]], check=False)


def documents(project: BakedProject, name: str) -> list[dict[str, Any]]:
    """Return the documents of a YAML file."""
    return list(yaml.safe_load_all(project.read(name)))


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile."""

    stage: int
    name: str
    text: str


def steps(text: str) -> list[Step]:
    """Return the instructions, continued lines joined, comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found, stage = [], 0
    for line in filter(None, lines.replace("\\\n", " ").splitlines()):
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        found.append(Step(stage, name, " ".join(rest.split())))
    return found


def one(project: BakedProject, name: str) -> str:
    """Return the text of the only instruction of that name in the last stage."""
    found = steps(project.read("Dockerfile"))
    (text,) = (step.text for step in found if step.name == name and step.stage == found[-1].stage)
    return text


def test_dockerfile_is_linted(project: BakedProject) -> None:
    """Hadolint has nothing to say, and says something where there is a fault."""
    assert tool(project, "hadolint", "--no-color", "Dockerfile").stdout == ""
    project.write(
        "Faulty", project.read("Dockerfile").replace(" AS build", " as build").replace("WORKDIR /app", "RUN cd /app")
    )
    assert "DL3003" in tool(project, "hadolint", "--no-color", "Faulty").stdout


def test_dockerfile_uses_the_answered_python(project: BakedProject) -> None:
    """Both stages start from the version that CI uses, fixed by its digest; each version has one."""
    version, digests = project.read(".python-version").strip(), DEFAULTS["_base_images"]
    bases = [step.text.split()[0] for step in steps(project.read("Dockerfile")) if step.name == "FROM"]
    assert bases == [f"python:{version}-slim@{digests[version]}"] * 2
    assert digests.keys() == set(DEFAULTS["python_version"])


def test_the_last_stage_holds_no_tools(project: BakedProject) -> None:
    """It installs nothing, loses pip, runs as a numbered user who is not root, and says what it was made from."""
    assert re.fullmatch(
        r"pip uninstall .* && install --directory --owner 10001 --group 10001 /logs", one(project, "RUN")
    )
    assert one(project, "USER") == "10001:10001"
    for label in ('revision="${COMMIT}"', 'version="${VERSION}"', 'title="income_model-2"'):
        assert f"org.opencontainers.image.{label}" in one(project, "LABEL")


def test_nothing_is_installed_without_a_hash(project: BakedProject) -> None:
    """What is installed is locked, and so is what builds the project."""
    commands = [
        part for step in steps(project.read("Dockerfile")) if step.name == "RUN" for part in step.text.split(" && ")
    ]
    installing = [command for command in commands if re.match(r"(uv )?pip install", command)]
    assert len(installing) == 3
    for command in installing:
        built = "--no-deps" in command and "--build-constraints requirements.txt" in command
        assert built or "--require-hashes" in command


def ignored(patterns: list[str], name: str) -> bool:
    """Tell whether .dockerignore keeps a path out: the last pattern that matches it, or a folder above it, decides."""
    out = False
    for pattern in patterns:
        path = pattern.removeprefix("!")
        if path == "*" or name == path or name.startswith(f"{path}/"):
            out = not pattern.startswith("!")
    return out


def test_what_is_copied_is_not_ignored(project: BakedProject) -> None:
    """Each COPY finds its source, and nothing else enters: neither data nor Git nor secrets."""
    patterns = [line for line in project.read(".dockerignore").splitlines() if line and not line.startswith("#")]
    copies = [step.text.split()[:-1] for step in steps(project.read("Dockerfile")) if step.name == "COPY"]
    sources = {name for words in copies if not words[0].startswith("--from") for name in words}
    assert sources == {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    assert not any(ignored(patterns, name) for name in sources)
    for name in (
        "data/raw.csv",
        ".git/config",
        ".env",
        ".dvc/config.local",
        "models/model.skops",
        "reports/plots/roc.svg",
    ):
        assert ignored(patterns, name), name


def test_compose_file_is_valid(project: BakedProject) -> None:
    """It keeps the compose specification; a misspelt key does not."""
    schema = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    assert tool(project, *schema, "compose.yaml").returncode == 0
    project.write("faulty.yaml", project.read("compose.yaml").replace("tmpfs:", "tmpsf:", 1))
    assert "tmpsf" in tool(project, *schema, "faulty.yaml").stdout


def test_every_service_is_hardened(project: BakedProject) -> None:
    """Nothing is written but volumes, no service has rights, each is pinned and reached from this machine only."""
    (compose,) = documents(project, "compose.yaml")
    for name, service in compose["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert name == "model" or re.search(r":v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$", service["image"])
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert (project.path / source).is_file() if source.startswith(".") else source in compose["volumes"]


def test_dependabot_knows_of_the_images(project: BakedProject) -> None:
    """Its file is valid and names the Dockerfile and the compose file."""
    schema = ("check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml")
    assert tool(project, *schema).returncode == 0
    (config,) = documents(project, ".github/dependabot.yml")
    names = [update["package-ecosystem"] for update in config["updates"]]
    assert names == ["pip", "github-actions", "docker", "docker-compose"]


MANIFESTS = ["deploy/kubernetes/deployment.yaml", "deploy/kubernetes/service.yaml"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_valid(project: BakedProject, name: str) -> None:
    """Kubernetes' own schemas accept each document, strictly; a misspelt key is refused."""
    assert tool(project, "kubernetes-validate", "--strict", name).returncode == 0
    project.write("faulty.yaml", project.read(name).replace("metadata:", "metdata:", 1))
    assert tool(project, "kubernetes-validate", "--strict", "faulty.yaml").returncode != 0


def test_kserve_manifest_is_valid(project: BakedProject) -> None:
    """Beside KServe's own fields, its predictor is a pod that Kubernetes' schema accepts."""
    (service,) = documents(project, "deploy/kserve/inferenceservice.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert set(service) == {"apiVersion", "kind", "metadata", "spec"}
    predictor = service["spec"].pop("predictor")
    assert service["spec"] == {}
    for name, kind in KSERVE.items():
        assert type(predictor.pop(name)) is kind
    assert [container["name"] for container in predictor["containers"]] == ["kserve-container"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": service["metadata"], "spec": predictor}
    project.write("pod.yaml", yaml.safe_dump(pod))
    assert tool(project, "kubernetes-validate", "--strict", "pod.yaml").returncode == 0


def test_pods_of_a_cluster_are_valid(project: BakedProject) -> None:
    """Those of docs/data.md, as Kubernetes' schema has pods and services; the rest of it is the operator's."""
    (text,) = re.findall(r"```yaml\n(.*?kind: DaskCluster.*?)```", project.read("docs/data.md"), re.DOTALL)
    spec = yaml.safe_load(text.rpartition("```yaml\n")[2])["spec"]
    assert {name: set(part) - {"replicas"} for name, part in spec.items()} == {
        "worker": {"spec"},
        "scheduler": {"spec", "service"},
    }
    for kind, part in (
        ("Pod", spec["worker"]["spec"]),
        ("Pod", spec["scheduler"]["spec"]),
        ("Service", spec["scheduler"]["service"]),
    ):
        made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "made"}, "spec": part}
        project.write("made.yaml", yaml.safe_dump(made))
        assert tool(project, "kubernetes-validate", "--strict", "made.yaml").returncode == 0
        project.write("made.yaml", yaml.safe_dump({**made, "spec": {**part, "misspelt": 1}}))
        assert tool(project, "kubernetes-validate", "--strict", "made.yaml").returncode != 0


def containers(project: BakedProject) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the pod and the container of the deployment, then those of KServe."""
    pod = documents(project, MANIFESTS[0])[0]["spec"]["template"]["spec"]
    yield pod, pod["containers"][0]
    predictor = documents(project, "deploy/kserve/inferenceservice.yaml")[0]["spec"]["predictor"]
    yield predictor, predictor["containers"][0]


def test_pods_have_no_rights(project: BakedProject) -> None:
    """Not root, nothing to write but volumes, no capabilities, the runtime's seccomp profile, bounded memory."""
    for pod, container in containers(project):
        context = {**pod.get("securityContext", {}), **container["securityContext"]}
        assert context["runAsNonRoot"] and context["readOnlyRootFilesystem"]
        assert context["allowPrivilegeEscalation"] is False
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == one(project, "USER")
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["resources"]["limits"]["memory"]
        assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]


@pytest.mark.parametrize("folder", ["deploy/kubernetes", "deploy/kserve"])
def test_kustomization_names_what_is_there(project: BakedProject, folder: str) -> None:
    """Every file beside it is a resource, and the image that it replaces is that of the containers."""
    (kustomization,) = documents(project, f"{folder}/kustomization.yaml")
    assert (kustomization["apiVersion"], kustomization["kind"]) == (
        "kustomize.config.k8s.io/v1beta1",
        "Kustomization",
    )
    assert set(kustomization) == {"apiVersion", "kind", "resources", "images"}
    there = {path.name for path in (project.path / folder).iterdir()}
    assert there == {*kustomization["resources"], "kustomization.yaml"}
    (image,) = kustomization["images"]
    assert {container["image"] for _, container in containers(project)} == {image["name"]}


def test_one_name_that_clusters_take(project: BakedProject) -> None:
    """Selectors find the pods, and the underscore of the folder's name is not in a cluster's."""
    found = [document for name in MANIFESTS for document in documents(project, name)]
    found += documents(project, "deploy/kserve/inferenceservice.yaml")
    assert {document["metadata"]["name"] for document in found} == {"income-model-2"}
    pods = found[0]["spec"]["template"]["metadata"]["labels"]
    for document in found[:4]:
        spec = document["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        assert selector.get("matchLabels", selector) == pods


def test_what_can_be_set_is_what_the_service_reads(project: BakedProject) -> None:
    """Compose, the deployment and KServe can set the number of workers, each by the name that the service reads."""
    (compose,) = documents(project, "compose.yaml")
    given = [{variable["name"] for variable in container["env"]} for _, container in containers(project)]
    given.append({*compose["services"]["model"]["environment"]})
    read = set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', project.read("vendor/gitmodel/serve/command.py")))
    assert all("MODEL_WORKERS" in names <= read for names in given)


def test_one_port_and_one_folder_for_the_log(project: BakedProject) -> None:
    """Image, compose, Prometheus and manifests agree on where the service is and what it writes."""
    port, log = one(project, "EXPOSE"), one(project, "VOLUME")
    words = json.loads(one(project, "ENTRYPOINT"))
    assert words[words.index("--port") + 1] == port
    assert words[words.index("--log") + 1] == log
    assert f":{port}/v2/health/live" in one(project, "HEALTHCHECK")
    (compose,) = documents(project, "compose.yaml")
    assert compose["services"]["model"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert compose["services"]["model"]["volumes"] == [f"predictions:{log}"]
    (prometheus,) = documents(project, "deploy/prometheus.yml")
    assert prometheus["scrape_configs"][0]["static_configs"] == [{"targets": [f"model:{port}"]}]
    for _, container in containers(project):
        assert container["ports"][0]["containerPort"] == int(port)
        assert log in {mount["mountPath"] for mount in container["volumeMounts"]}


SAYS = 'test "$2" = version || echo "docker $* COMMIT=$COMMIT VERSION=$VERSION IMAGE=$IMAGE"'


def make(
    project: BakedProject, target: str, environment: dict[str, str], docker: str = SAYS
) -> subprocess.CompletedProcess[str]:
    """Run `make` with a docker that does this."""
    folder = project.path.parent / "programs"
    folder.mkdir(exist_ok=True)
    (folder / "docker").write_text(f"#!/bin/sh\n{docker}\n")
    (folder / "docker").chmod(0o755)
    if not (project.path / ".venv").exists():
        linked(project, environment)
    path = f"{folder}{os.pathsep}{environment['PATH']}"
    return project.run(["make", *target.split()], check=False, **environment | {"PATH": path})


def test_image_needs_a_bundle(bake: Bake, environment: dict[str, str]) -> None:
    """`make image` says in one line what is missing."""
    result = make(bake(deploy_target="container"), "image", environment)
    assert result.returncode
    assert result.stderr.splitlines()[0] == "error: models/bundle is missing: run `model repro`, or `dvc pull`"


def test_image_needs_compose(bake: Bake, environment: dict[str, str]) -> None:
    """A docker without its plugin is told what it lacks, not what it does not know."""
    project = bake(deploy_target="container")
    (project.path / "models/bundle").mkdir(parents=True)
    project.write("models/bundle/manifest.json", "{}")
    result = make(project, "image", environment, docker="exit 1")
    said = "error: docker has no compose: install its compose plugin, then run this again"
    assert result.returncode and result.stderr.splitlines()[0] == said


def test_image_is_labelled_with_commit_and_version(bake: Bake, environment: dict[str, str]) -> None:
    """The commit in full, marked if files differ from it; the newest version that is registered there."""
    project = bake(deploy_target="container")
    (project.path / "models/bundle").mkdir(parents=True)
    project.write("models/bundle/manifest.json", "{}")
    linked(project, environment)
    project.run("git init --quiet")
    commit_all(project.path, "first")
    commit = project.run("git rev-parse HEAD").stdout.strip()
    built = "docker compose build model"
    made = make(project, "image IMAGE=a/b:c", environment)
    assert made.stdout == f"{built} COMMIT={commit} VERSION= IMAGE=a/b:c\n"
    for tag in ("income-model@v1.9.0", "income-model@v1.10.0", "income-model#prod#1"):
        project.run(["git", "tag", tag])
    project.write("README.md", "changed")
    labels = f"COMMIT={commit}-dirty VERSION=v1.10.0 IMAGE="
    up = f"docker compose up --detach {labels}\n"
    assert make(project, "up", environment).stdout == f"{built} {labels}\n{up}"


# From here on with a bundle, and with the Dockerfile's steps done


@pytest.fixture(scope="module")
def shipped(project: BakedProject, environment: dict[str, str]) -> BakedProject:
    """Make the bundle, quickly."""
    quicken(project, QUICK)
    for stage in ("prepare", "train", "evaluate", "package"):
        project.run(["python", "-m", f"gitmodel.pipeline.{stage}"], **environment)
    return project


@pytest.fixture(scope="module")
def image(shipped: BakedProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do the steps of the Dockerfile in a folder: COPY as it stands, RUN of the first stage in its own Python."""
    root = tmp_path_factory.mktemp("root")
    run([sys.executable, "-m", "venv", "base"], root)
    path = f"{root / 'base/bin'}{os.pathsep}/usr/bin:/bin"
    folder = root
    for step in steps(shipped.read("Dockerfile")):
        if step.name == "WORKDIR":
            folder = root / step.text.strip("/")
            folder.mkdir()
        elif step.name == "COPY" and not step.text.startswith("--"):
            *sources, target = step.text.split()
            for source in sources:
                copy(shipped.path / source, folder / target / ("" if target != "./" else source))
        elif step.name == "RUN" and step.stage == 1:
            command = re.sub(r"(?<= )/(opt|build)\b", rf"{shlex.quote(str(root))}/\1", step.text)
            run(["sh", "-ec", re.sub(r" --no-cache(-dir)?", "", command)], folder, PATH=path)
    return root


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, as COPY does."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def contents(image: Path) -> dict[Path, int]:
    """Return the files of the image, and when each was written."""
    files = [path for part in ("opt/venv", "app") for path in (image / part).rglob("*") if not path.is_symlink()]
    return {path: path.stat().st_mtime_ns for path in files if path.is_file()}


@dataclass(frozen=True)
class Server:
    """The image's entry point at work."""

    url: str
    log: Path
    before: dict[Path, int]
    process: "subprocess.Popen[str]"

    def get(self, path: str) -> str:
        """Return what a page holds."""
        with urlopen(self.url + path, timeout=10) as response:
            return str(response.read().decode())

    def post(self, path: str, content: Any) -> tuple[int, Any]:
        """Return the status and the answer to some JSON."""
        request = Request(self.url + path, json.dumps(content).encode(), {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=10) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def server(shipped: BakedProject, image: Path) -> Iterator[Server]:
    """Start the entry point on a free port of this machine."""
    log, before = image / "logs", contents(image)
    words = json.loads(one(shipped, "ENTRYPOINT"))
    options = dict(zip(words[2::2], words[3::2], strict=True))
    options |= {"--host": "127.0.0.1", "--port": "0", "--log": str(log)}
    command = [str(image / "opt/venv/bin" / words[0]), words[1], *itertools.chain.from_iterable(options.items())]
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "MODEL_VERSION": "",
    }
    process = subprocess.Popen(
        command, cwd=image / "app", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    line = process.stdout.readline()
    found = re.search(r"http://\S+:\d+", line)
    if not found:
        process.kill()
        pytest.fail(f"{line}{process.stdout.read()}", pytrace=False)
    yield Server(found[0], log, before, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def row(project: BakedProject) -> dict[str, Any]:
    """Return the features of the table's first row, in their types."""
    contract = yaml.safe_load(project.read("models/bundle/schema.yaml"))
    header, first = (line.split(",") for line in project.read("data/raw.csv").splitlines()[:2])
    columns = {name: spec for name, spec in contract["columns"].items() if name != contract["target"]}
    cells = {name: cell for name, cell in zip(header, first, strict=True) if name in columns and cell}
    return {
        name: float(cell) if columns[name]["type"] in ("number", "integer") else cell for name, cell in cells.items()
    }


@pytest.mark.slow
def test_the_image_serves(server: Server, shipped: BakedProject) -> None:
    """It is ready, shows the model card, predicts, and logs what it predicted."""
    assert json.loads(server.get("/v2/health/ready"))["ready"] is True
    assert json.loads(server.get("/model"))["card"] == shipped.read("reports/MODEL_CARD.md")
    status, answer = server.post("/predict", {"rows": [row(shipped)]})
    assert status == 200, answer
    assert sum(answer["predictions"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    deadline = time.monotonic() + 5
    while not any(path.stat().st_size for path in server.log.rglob("*.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_the_image_holds_no_training_packages(server: Server, image: Path) -> None:
    """Neither those nor tools are there, and serving writes nothing outside of its log."""
    server.post("/predict", {"rows": [{}]})
    python = image / "opt/venv/bin/python"
    for name in ("pandas", "sklearn", "pyarrow", "dvc", "pip", "hatchling", "setuptools"):
        result = subprocess.run(
            [python, "-c", f"import {name}"], env=plain_environment(), capture_output=True, text=True
        )
        assert f"No module named '{name}'" in result.stderr, name
    assert contents(image) == server.before


@pytest.mark.slow
def test_the_image_is_small(image: Path) -> None:
    """What it holds beside its base stays below 250 MB."""
    size = sum(path.stat().st_size for path in contents(image))
    print(f"{size / 1e6:.0f} MB")
    assert size < MOST_BYTES


METRIC = re.compile(r"\b((?:model|process)_[a-z_]+?)(_bucket|_total)?(?=[\s{\[)]|$)")


def wanted(dashboard: dict[str, Any]) -> set[str]:
    """Return the names of all metrics that a dashboard asks for."""
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [entry["expr"] for entry in dashboard["annotations"]["list"]]
    plain = [re.sub(r"by \([^)]*\)|\{[^}]*\}", " ", expression) for expression in expressions]
    names = {name for expression in plain for name, _ in METRIC.findall(expression)}
    assert all(METRIC.search(expression) for expression in plain)
    return names


@pytest.mark.slow
def test_the_dashboard_asks_for_what_is_measured(server: Server, shipped: BakedProject) -> None:
    """Each metric and each label of it is one that the service exposes."""
    dashboard = json.loads(shipped.read("deploy/grafana/dashboard.json"))
    server.post("/predict", {"rows": [row(shipped)]})
    server.post("/predict", {"rows": [{**row(shipped), "age": -1e9}]})
    exposed = server.get("/metrics")
    names = {name.removesuffix("_total") for name in re.findall(r"^# TYPE (\w+) ", exposed, flags=re.MULTILINE)}
    assert wanted(dashboard) - names == set()
    assert len(wanted(dashboard)) >= 9
    labels = set(re.findall(r'[{,](\w+)="', exposed)) | {"job", "instance"}
    text = shipped.read("deploy/grafana/dashboard.json")
    asked = {name for part in re.findall(r"by \(([^)]*)\)", text) for name in part.split(", ")}
    asked |= set(re.findall(r"\{\{(\w+)\}\}", text))
    assert asked - labels == set()
    dashboard["panels"][0]["targets"][0]["expr"] = "rate(model_request_total[5m])"
    assert wanted(dashboard) - names == {"model_request"}


def test_the_dashboard_is_one(project: BakedProject) -> None:
    """Every panel asks the provisioned source, has an id and a place of its own."""
    dashboard = json.loads(project.read("deploy/grafana/dashboard.json"))
    (source,) = documents(project, "deploy/grafana/datasource.yaml")
    panels = dashboard["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["datasources"][0]["uid"]}
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
