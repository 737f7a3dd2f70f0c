"""Models of the Hugging Face Hub: the few files that a prior needs, once, into the Hub's own cache.

A model whose files are in the cache is used as it is, and the Hub is not asked: it loads at once and offline. To have a newer
one, name a revision: `owner/model@revision` (a branch, a tag or a commit).
"""

import hashlib
import json
import re
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from redgui.priors import prompts, schedulers
from redgui.priors.base import PriorError
from redgui.priors.folder import AUTOENCODERS, NETWORKS, STEM, chosen_weights, read_json, unread
from redgui.priors.network import check_class

PATIENCE = 6.0  # seconds for the Hub's first answer; the name look-up that sockets do not limit is part of it
NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
LARGE = 100_000  # bytes from which a file is worth going on with


def split(name: str) -> tuple[str, str] | None:
    """`owner/model@revision` as the model and its revision (`main` unless told); None where it is no such name."""
    found = NAME.fullmatch(name)
    if not found or name.startswith((".", "/", "~")):
        return None
    return found["repo"], found["revision"] or "main"


def download(name: str) -> Path:
    """The folder of a Hub model, from the cache or fetched with a progress bar on stderr; what was cut off is gone on with.

    Raises:
        PriorError: there is no such model, it is no prior, or the Hub cannot be reached.
    """
    repo, revision = split(name) or (name, "main")
    return cached(repo, revision) or fetch(repo, revision)


def cached(repo: str, revision: str) -> Path | None:
    """The folder of a model in the cache if all that is needed is there; the Hub is not asked."""
    import huggingface_hub
    from huggingface_hub import constants

    try:
        folder = Path(huggingface_hub.snapshot_download(
            repo, revision=revision, cache_dir=constants.HF_HUB_CACHE, local_files_only=True
        ))  # fmt: skip
    except Exception:  # not there, or not readable: the Hub has it
        return None
    present = [str(p.relative_to(folder).as_posix()) for p in folder.rglob("*") if p.is_file()]
    try:
        return folder if set(wanted(present, repo)) <= set(present) and not _missing(folder, present) else None
    except PriorError:
        return None


def fetch(repo: str, revision: str) -> Path:
    """Asks the Hub, fetches what is needed and not there yet, and returns the folder."""
    import huggingface_hub
    from huggingface_hub import constants

    api = huggingface_hub.HfApi(endpoint=constants.ENDPOINT)
    try:
        info: Any = _within(
            PATIENCE, lambda: api.model_info(repo, revision=revision, files_metadata=True, timeout=PATIENCE - 1)
        )
        files = wanted([s.rfilename for s in info.siblings], repo)
        size = sum(s.size or 0 for s in info.siblings if s.rfilename in files)
        print(f"redgui: fetching {repo} ({size / 1e6:.0f} MB) into {constants.HF_HUB_CACHE}", file=sys.stderr)
        for file in files:  # the configurations first
            begin(repo, file, revision)
            path = huggingface_hub.hf_hub_download(repo, file, revision=revision, cache_dir=constants.HF_HUB_CACHE,
                                                   endpoint=constants.ENDPOINT, etag_timeout=PATIENCE)  # fmt: skip
            # Before gigabytes of what cannot be used:
            if file in ("config.json", *(f"{network}/config.json" for network in NETWORKS)):
                check_class(read_json(Path(path)), repo)
            if file.endswith("scheduler_config.json"):
                schedulers.known(read_json(Path(path)))
        return Path(path).parents[file.count("/")]
    except PriorError:
        raise
    except Exception as error:
        raise PriorError(explained(error, repo, revision)) from error


def begin(repo: str, file: str, revision: str) -> None:
    """Fetches a large file into the cache as far as it comes; another call goes on from there.

    The Hub's client takes up a broken connection, but throws away what it has when it gives up. So the bytes go to a file
    of our own beside the cache's blobs, and become a blob when they are all there; the client then finds it.
    """
    import huggingface_hub
    from huggingface_hub import constants, file_download, utils

    headers = utils.build_hf_headers()
    url = huggingface_hub.hf_hub_url(repo, file, revision=revision, endpoint=constants.ENDPOINT)
    known = huggingface_hub.get_hf_file_metadata(url, timeout=PATIENCE, headers=headers)
    if not known.size or known.size < LARGE or not known.etag:
        return
    folder = Path(constants.HF_HUB_CACHE) / file_download.repo_folder_name(repo_id=repo, repo_type="model") / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    blob, part = folder / known.etag, folder / f"{known.etag}.part"
    # Only the Hub itself is given the person's token, not the storage that it points to.
    headers = headers if urlparse(known.location).netloc == urlparse(url).netloc else {}
    with utils.WeakFileLock(folder / f"{known.etag}.part.lock"):
        if blob.exists():
            return
        with part.open("ab") as file_:
            file_download.http_get(known.location, file_, resume_size=file_.tell(), headers=headers,
                                   expected_size=known.size, displayed_filename=file)  # fmt: skip
        if len(known.etag) == 64 and _sha256(part) != known.etag:
            part.unlink()
            raise PriorError(f"{file} of {repo} came damaged; it was thrown away. Run the same again.")
        part.replace(blob)


def explained(error: Exception, repo: str, revision: str) -> str:
    """What a person can do about an error of the Hub."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"{repo} is only for those who agree to its terms. Do so at huggingface.co/{repo}, then `hf auth login`."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"there is no model {repo} on the Hub, or it is private (then `hf auth login`). Check the name."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no revision {revision!r}; name a branch, a tag or a commit after the @, or leave it out."
    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        return f"the Hub answers {error.response.status_code} for {repo}; try again later."
    if isinstance(error, OSError) and getattr(error, "errno", None) == 28:
        return f"there is no room on the disk for {repo}; make some, or set HF_HOME to another disk."
    return (
        f"{repo} is neither a folder nor whole in the cache, and the Hub could not be reached ({type(error).__name__}). "
        "Go online once (what was fetched so far is kept), or use a bundled prior."
    )


def wanted(files: Iterable[str], repo: str) -> list[str]:
    """Of a repository's files those that a prior needs, configurations first, and one set of weights for each network.

    Of the weights there is one set (`chosen_weights`), of the denoisers the averaged one.

    Raises PriorError where there is no prior.
    """
    there = set(files)
    networks = [part + "/" for part in NETWORKS if f"{part}/config.json" in there][:1]
    parts = networks + [part + "/" for part in AUTOENCODERS if f"{part}/config.json" in there]
    if not networks:
        parts = [""] if "config.json" in there else []
    scheduler = [f for f in ("scheduler/scheduler_config.json", "scheduler_config.json") if f in there][:1]
    if not parts or not scheduler:
        raise PriorError(
            f"{repo} is no prior in diffusers format: it has no {'scheduler_config.json' if parts else 'unet/config.json'}."
            + ("" if parts else unread(there))
        )
    configs = [f for f in ("model_index.json",) if f in there] + scheduler + [part + "config.json" for part in parts]
    weights = [f for part in parts for f in _weights(part, there, repo)]
    return configs + sorted(prompts.wanted(there)) + weights


def _weights(part: str, there: set[str], repo: str) -> list[str]:
    found = chosen_weights(f.removeprefix(part) for f in there if f.startswith(part))
    if found is None:
        raise PriorError(f"{repo} has no weights that can be read: {part}{STEM}.safetensors is missing.")
    return [part + f for f in found[0]]


def _missing(folder: Path, present: list[str]) -> bool:
    """Whether a part that model_index.json names is not there."""
    try:
        index = json.loads((folder / "model_index.json").read_text()) if "model_index.json" in present else {}
    except (OSError, ValueError):
        return True
    there = "config.json" in present  # flat
    whole = there or any(f"{part}/config.json" in present for part in NETWORKS) or not any(part in index for part in NETWORKS)
    return not whole or (not there and any(part in index and f"{part}/config.json" not in present for part in AUTOENCODERS))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """The result of a call that may take so long; TimeoutError after that, also in a name look-up, which no socket limits."""
    result: list[Any] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            result.append(call())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True, name="hub")
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not result:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return result[0]
