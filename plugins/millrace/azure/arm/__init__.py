"""ARM templates without Azure: composed from modules, and evaluated to the resources that a deployment would create."""

from millrace.azure.arm.compose import TEMPLATES, compose
from millrace.azure.arm.errors import TemplateError
from millrace.azure.arm.evaluate import evaluate
from millrace.azure.arm.model import Deployment, Resource
from millrace.azure.arm.parameter_file import read_parameters
from millrace.azure.arm.scope import Scope

__all__ = ["TEMPLATES", "Deployment", "Resource", "Scope", "TemplateError", "compose", "evaluate", "read_parameters"]
