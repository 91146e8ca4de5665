"""What a person fills in to have an environment on Azure, but for its layout."""

from __future__ import annotations

__all__ = ["FORM", "WHOSE"]

WHOSE = {"platform": "azure", "prefix": "mr", "size": "dev"}
FORM: dict[str, object] = {
    **WHOSE,
    "region": "northeurope",
    "operator_principal_id": "77777777-2222-3333-4444-555555555555",
    "ssh_public_key": "ssh-ed25519 AAAA",
    "clients": ["203.0.113.7/32"],
    "approve": True,
}
