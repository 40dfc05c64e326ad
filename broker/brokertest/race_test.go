//go:build race

package brokertest

// raceEnabled says that this build has the race detector.
const raceEnabled = true
