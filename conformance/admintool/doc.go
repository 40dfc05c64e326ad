// Package admintool drives the stock Java admin tool (rocketmq-tools): one JVM
// that runs a series of its commands and gives what each printed. It owns the
// child process; one caller at a time.
package admintool
