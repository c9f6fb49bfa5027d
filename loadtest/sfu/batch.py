"""Many datagrams with one system call: recvmmsg(2), with the kernel's time of arrival of each."""

import ctypes
import errno
import os

from media import wire

DATAGRAM = 2048  # octets kept for each
_MSG_DONTWAIT = 0x40


class _Io(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("io", ctypes.POINTER(_Io)),
        ("iolen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("size", ctypes.c_uint32))


class _Control(ctypes.Structure):
    """A control message with a struct timespec (SO_TIMESTAMPNS)."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("level", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("seconds", ctypes.c_int64),
        ("nanoseconds", ctypes.c_int64),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
_recvmmsg.restype = ctypes.c_int


class Batch:
    """Room for `SIZE` datagrams; datagram i lies at i * DATAGRAM in `buffer`. Shared by all links of a process."""

    SIZE = 64

    def __init__(self) -> None:
        self.buffer = bytearray(self.SIZE * DATAGRAM)
        self.view = memoryview(self.buffer)
        self.pointer = wire.pin(self.buffer)  # for libsrtp
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        self._io = (_Io * self.SIZE)(*(_Io(base + i * DATAGRAM, DATAGRAM) for i in range(self.SIZE)))
        controls = bytearray(self.SIZE * ctypes.sizeof(_Control))
        self._control = (_Control * self.SIZE).from_buffer(controls)
        messages = bytearray(self.SIZE * ctypes.sizeof(_Message))
        self._messages = (_Message * self.SIZE).from_buffer(messages)
        for place in range(self.SIZE):
            header = self._messages[place].header
            header.io, header.iolen = ctypes.pointer(self._io[place]), 1
            header.control = ctypes.addressof(self._control[place])
            header.controllen = ctypes.sizeof(_Control)
        self._raw = memoryview(messages)
        self._fresh = bytes(self._raw)  # the kernel overwrites lengths, so they are put back before each call
        self._address = ctypes.addressof(self._messages)
        step = ctypes.sizeof(_Message)
        self._sizes = self._raw.cast("I")[_Message.size.offset // 4 :: step // 4]
        step = ctypes.sizeof(_Control)
        times = memoryview(controls).cast("q")
        self._seconds = times[_Control.seconds.offset // 8 :: step // 8]
        self._nanoseconds = times[_Control.nanoseconds.offset // 8 :: step // 8]

    def read(self, number: int) -> list[tuple[int, int]]:
        """(size, arrival in nanoseconds since the epoch) of what waits on file descriptor `number`, in order.

        The socket must have SO_TIMESTAMPNS and no other control messages. Raises OSError.
        """
        self._raw[:] = self._fresh
        count = _recvmmsg(number, self._address, self.SIZE, _MSG_DONTWAIT, None)
        if count < 0:
            error = ctypes.get_errno()
            if error in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(error, os.strerror(error))
        return [
            (size, seconds * 1_000_000_000 + nanoseconds)
            for size, seconds, nanoseconds in zip(
                self._sizes[:count], self._seconds[:count], self._nanoseconds[:count], strict=True
            )
        ]
