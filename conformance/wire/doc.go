// Package wire compares the protocol packages with bytes that the Java classes of
// RocketMQ 5.3.3 wrote (testdata, recorded by the Maven project in recorder) and
// with the constants and fields those classes have. README.md says how the files
// are made. The package has tests only.
package wire
