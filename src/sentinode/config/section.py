"""What all sections of the configuration share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["LATER", "SPEED", "Device", "Fraction", "Precision", "Section", "Seed", "Threads"]

SPEED: dict[str, Any] = {"speed_only": True}
"""Marks a key that changes how fast a result comes, and not the result."""

LATER: dict[str, Any] = {"later": True}
"""Marks a key that came later: at its default, a result made without it is still the same."""


class Section(BaseModel):
    """Base of all sections: frozen, numbers finite, and a key it does not know is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _none_in_words(cls, values: Any) -> Any:
        # TOML has no word for nothing; a key whose default is a number needs one to unset it.
        if not isinstance(values, dict):
            return values
        return {key: None if value == "none" else value for key, value in values.items()}

    def settings(self) -> dict[str, Any]:
        """Return the section as plain JSON values."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> dict[str, Any]:
        """Return the settings that shape a result: no key of speed, no later one at its default."""
        left_out = {
            name
            for name, field in type(self).model_fields.items()
            if isinstance(marks := field.json_schema_extra, dict)
            and (
                "speed_only" in marks or ("later" in marks and getattr(self, name) == field.default)
            )
        }
        return self.model_dump(mode="json", exclude=left_out)


Device = Annotated[
    Literal["auto", "cpu", "cuda"], Field(description="auto takes a GPU where there is one.")
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    Field(
        description="auto takes bfloat16 where the processor computes in it, else float32.",
    ),
]
Threads = Annotated[
    int,
    Field(
        ge=0,
        le=1024,
        description="CPU threads; 0 takes all cores. Part of what fixes the exact bytes.",
    ),
]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
