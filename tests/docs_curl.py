"""A stand-in for curl on machines without it: as many of its options as the pages use."""

import argparse
import os
import sys

import httpx2

WRITE_ERROR = 23
"""The exit code of curl itself."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="curl", allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("-N", action="store_true", help="not buffered, as nothing is here")
    parser.add_argument("-s", action="store_true", help="silent, as it always is")
    parser.add_argument("-i", action="store_true", help="show the status and headers")
    parser.add_argument("-X", dest="method", default=None)
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data", default=None)
    options = parser.parse_args()
    method = options.method or ("GET" if options.data is None else "POST")
    url = options.url if "://" in options.url else f"http://{options.url}"
    headers = dict(header.split(": ", 1) for header in options.headers)
    with (
        httpx2.Client(trust_env=False, timeout=20) as client,
        client.stream(method, url, headers=headers, content=options.data) as response,
    ):
        if options.i:
            sys.stdout.write(
                f"{response.http_version} {response.status_code} {response.reason_phrase}\n"
            )
            sys.stdout.writelines(f"{name}: {value}\n" for name, value in response.headers.items())
            sys.stdout.write("\n")
        for chunk in response.iter_text():
            sys.stdout.write(chunk)
            sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stderr.close()
        os._exit(WRITE_ERROR)
