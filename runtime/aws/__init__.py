"""Storage on AWS: DynamoDB tables, S3 objects, ECS tasks, behind the ports of the domain.
May import `models`, `sdk` and what is below; never `local` or `service`, its neighbours.
"""
