package disk

// pending are kinds of problems that are known, with the reason. They are printed
// and do not fail unless -strict is given.
var pending = map[string]string{
	"zeros":  "a killed broker's log is cut at a property with NUL bytes",
	"timers": "a start says nothing about the timers of a Java broker",
}
