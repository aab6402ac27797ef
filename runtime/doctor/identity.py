"""Who is looking, and where: credentials and region."""

from collections.abc import Iterator
from typing import Final

from runtime.aws.failures import error_code
from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, ok, unknown, wrong
from runtime.domain.errors import ConfigurationError
from runtime.sdk import regions_of

CREDENTIALS: Final = "credentials"
REGION: Final = "region"

_NO_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "SSOTokenLoadError",
        "SignatureDoesNotMatch",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "UnrecognizedClientException",
    }
)


def look_at_credentials(account: Account) -> Iterator[Finding]:
    """Whose they are, which AWS says to everybody."""
    mend = account.aws("configure") + ", or set AWS_PROFILE"
    try:
        who = account.identity()
    except ConfigurationError as error:
        yield wrong(CREDENTIALS, str(error), mend=mend)
        return
    except Exception as error:
        if error_code(error) not in _NO_CREDENTIALS:
            raise
        yield wrong(CREDENTIALS, f"there are none that AWS takes ({error_code(error)})", mend=mend)
        return
    yield ok(CREDENTIALS, f"account {who['Account']} as {who['Arn']}")


def look_at_region(account: Account) -> Iterator[Finding]:
    """Whether Bedrock is there."""
    from botocore.exceptions import NoRegionError  # noqa: PLC0415 - as in runtime/sdk.py

    try:
        region = account.region_name
    except ConfigurationError as error:
        if not isinstance(error.__cause__, NoRegionError):
            raise
        yield wrong(REGION, "none is set", mend="set AWS_REGION, or use --region")
        return
    if region not in regions_of("bedrock"):
        yield unknown(
            REGION,
            f"{region}: the SDK knows of no Bedrock there",
            mend="choose a region with Bedrock, us-east-1 for example",
        )
    else:
        yield ok(REGION, f"{region}: Bedrock is there")
