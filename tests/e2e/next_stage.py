"""The CDK app of a second stage, *next*, otherwise as *dev* is: for tests of two side by side."""

import os
from dataclasses import replace

from cdk_app.assembly import add_stacks
from cdk_app.config import DEV

from aws_cdk import App

if __name__ == "__main__":
    app = App(outdir=os.environ.get("CDK_OUTDIR", "cdk.out"))
    add_stacks(app, replace(DEV, name="next"))
    app.synth()
