"""The cohort in a Slack workspace: Slack's JSON in, the desk's words out, and the other way round."""
