"""The autoscaler: asks the pods of autoscaled services how busy they are, and writes `/scale`.

It uses the operator's API, facts and client. What becomes of a `/scale` is the operator's affair.
"""
