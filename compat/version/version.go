// Package version knows the version numbers that peers put into their frames:
// ordinals of RocketMQ's MQVersion enumeration. It holds no state.
package version

import (
	"slices"
	"strings"
)

// Versions that something depends on.
const (
	V3_0_11         int32 = 37
	V3_1_8_SNAPSHOT int32 = 62
	V4_5_2          int32 = 317 // what the Go client always sends
	V4_9_4          int32 = 401 // from here on routes are answered in standard JSON
	V5_0_0          int32 = 413
	V5_3_1          int32 = 475 // clients above it understand code 1500
	V5_3_3          int32 = 479
	HigherVersion   int32 = 612 // the last one, also for numbers beyond it
)

// Current is the version that this project speaks.
const Current = V5_3_3

// Field is the header field, and Implementation its value, by which a server of
// this project says what it is, in its answers to GET_BROKER_RUNTIME_INFO (28) and
// GET_NAMESRV_CONFIG (319): its version number says only what it speaks. Java
// servers answer both without header fields, and no client or tool reads any there.
const (
	Field          = "implementation"
	Implementation = "Merlin"
)

// names by ordinal.
var names = strings.Fields(versionNames)

// Name returns the name of a version, the last one for numbers beyond the table
// and for negative ones "".
func Name(v int32) string {
	switch {
	case v < 0:
		return ""
	case int(v) >= len(names):
		return names[len(names)-1]
	}
	return names[v]
}

// Parse finds a version by its name.
func Parse(name string) (int32, bool) {
	i := slices.Index(names, name)
	return int32(i), i >= 0
}

// Count is the number of versions in the table.
func Count() int { return len(names) }
