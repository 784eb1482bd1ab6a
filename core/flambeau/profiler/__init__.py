"""What a program spends its time and memory on: operators, their gradients, and ranges that the program names.

A profiler is a dispatch mode: while one is on, each operator call of the thread that turned it on is timed, and so is
each node of a backward walk; while none is on nothing is paid. On a device that works by itself the calls only queue
work, so markers before and after each call tell how long the device took.

Source: https://docs.pytorch.org/docs/stable/profiler.html
"""

from flambeau.profiler._events import DeviceType, EventList, FunctionEvent, FunctionEventAvg
from flambeau.profiler._profile import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)
from flambeau.profiler._recorder import record_function

__all__ = ["DeviceType", "EventList", "FunctionEvent", "FunctionEventAvg", "ProfilerAction", "ProfilerActivity",
           "profile", "record_function", "schedule", "supported_activities", "tensorboard_trace_handler"]
