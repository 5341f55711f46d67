"""The client of the model hub, with its many errors in one line each."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from ..errors import UserError
from ..models.weight_files import first_line
from ..utils.files import is_out_of_space

FORBIDDEN = (401, 403)


def endpoint() -> str | None:
    """The hub that `HF_ENDPOINT` names; None for the usual one."""
    return os.environ.get("HF_ENDPOINT") or None


def hub_client() -> HfApi:
    """The hub's client, with the token that is stored or in `HF_TOKEN`."""
    return HfApi(endpoint=endpoint(), library_name="showo-turbo")


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turn whatever the client raises into a `UserError`.

    Args:
        what: What could not be done, such as "me/model could not be written".

    Raises:
        UserError: Naming the reason and the remedy.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # offline, an unknown name, a token that may not, a broken line
        if is_out_of_space(error):
            raise
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        remedy = "see to the connection, then give the same command again"
        if status in FORBIDDEN:
            remedy = "use a token that may, with `hf auth login` or HF_TOKEN"
        raise UserError(f"{what} ({first_line(error)}); {remedy}") from error
