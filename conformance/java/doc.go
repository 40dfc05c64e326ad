// Package javaclients builds and starts the Maven project in this directory:
// the conformance cases of the official Java clients. The project is part of
// the program, so that it works outside a checkout; what Maven built is kept in
// the cache of conformance/reference, once per client version. It has no state.
package javaclients
