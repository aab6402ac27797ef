"""The CDK app: `cdk deploy --all -c stage=prod`. It needs neither Docker nor credentials."""

import os
import sys

from cdk_app.assembly import add_stacks
from cdk_app.config import check_keys, stage_from
from cdk_app.nag import check_with_nag
from cdk_app.servers import document_of
from runtime.domain.errors import ConfigurationError, PriceError
from runtime.models.stage_servers import check_stage

from aws_cdk import App


def main() -> None:
    """Synthesize the stage that the context asks for."""
    # The command line says where; what is bundled there is not bundled again.
    app = App(outdir=os.environ.get("CDK_OUTDIR", "cdk.out"))
    try:
        check_keys(app.node.get_all_context())
        stage = stage_from(app.node.try_get_context)
        check_stage(document_of(stage.servers), stage.price_file)
    except (ValueError, ConfigurationError, PriceError) as error:
        sys.exit(str(error))
    add_stacks(app, stage)
    check_with_nag(app)
    app.synth()


if __name__ == "__main__":
    main()
