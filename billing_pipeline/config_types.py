"""What every part of billing.yaml is made of: the strict model, and texts that have a form. No section of the file."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/\S*)?$")]


class Model(BaseModel):
    """Frozen, and every unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
