"""Where the work of a graph is done: processes of this machine, or actors of Ray.

A runner maps items through steps that are built once per process or actor, and yields what comes
out in the order of the items. Equal steps give equal results in all of them.

base    what a runner is
local   processes of this machine, or this one alone
on_ray  Ray Data, on this machine or on a cluster
"""
