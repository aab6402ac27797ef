"""Who may use the API: a Cognito user pool and the one client that asks it for tokens."""

from cdk_app.config import StageConfig
from cdk_app.nag import acknowledge

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cognito as cognito
from constructs import Construct

MIN_PASSWORD_LENGTH = 12


class Users(Construct):
    """Users sign in with their e-mail address, and with a second factor if they set one up."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig) -> None:
        super().__init__(scope, construct_id)
        retain = stage.retain_data
        self.pool = cognito.UserPool(
            self,
            "Pool",
            feature_plan=cognito.FeaturePlan.LITE,
            sign_in_aliases=cognito.SignInAliases(email=True),
            sign_in_case_sensitive=False,
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            self_sign_up_enabled=stage.self_sign_up,
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            password_policy=cognito.PasswordPolicy(
                min_length=MIN_PASSWORD_LENGTH,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
                temp_password_validity=Duration.days(3),
            ),
            mfa=cognito.Mfa.OPTIONAL,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False),
            deletion_protection=retain,
            removal_policy=RemovalPolicy.RETAIN if retain else RemovalPolicy.DESTROY,
        )
        # The secret of a command line tool is none, so the client has none.
        self.client = self.pool.add_client(
            "Client",
            generate_secret=False,
            auth_flows=cognito.AuthFlow(user_srp=True, user_password=True),
            disable_o_auth=True,
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            access_token_validity=Duration.hours(1),
            id_token_validity=Duration.hours(1),
            refresh_token_validity=Duration.days(30),
        )
        acknowledge(
            self.pool,
            "AwsSolutions-COG2",
            "A second factor is offered and not forced: the command and the scripts of a pipeline"
            " sign in without a person. Setting it up is described in the deploy guide.",
        )
        acknowledge(
            self.pool,
            "AwsSolutions-COG8",
            "Threat protection is billed per user and month (Plus plan); the pool is closed to"
            " strangers by default, so there is little to protect it from.",
        )
