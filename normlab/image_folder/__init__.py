"""A folder of the user's own images: what its names say, without opening a file. The service and the worker read it."""

from normlab.image_folder.faults import Fault, faults_message, faults_text, printable
from normlab.image_folder.listing import Images, Listing, list_folder
from normlab.image_folder.walk import TooManyFiles, is_folder

__all__ = [
    "Fault",
    "Images",
    "Listing",
    "TooManyFiles",
    "faults_message",
    "faults_text",
    "is_folder",
    "list_folder",
    "printable",
]
