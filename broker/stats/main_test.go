package stats

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the package when a test leaves the sampler behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
