"""An API server, a Job controller, a scheduler and a kubelet in one process; pods are local processes.

It has the calls that dagster-k8s and ``infinity_assets.kubernetes`` make, and the behaviour that was seen on
a server of 1.34: what it refuses, how Indexed Jobs count, what becomes of the pods of a deleted Job.
"""
