// Package lab makes hosts for tests to look at and to change: parts of the test
// machine, a booted Debian in a container, a virtual machine. Only tests import
// it. README.md beside this file shows how each is used.
//
// A test says first what it needs (Need); where a part is missing the test is
// skipped, or failed when HOSTGUARD_REQUIRE promises that part.
//
// Everything the lab starts and mounts belongs to the test that asked for it and
// ends with it. What a killed test left is removed by the next one (see workdir).
package lab
