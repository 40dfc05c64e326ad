package disk

// pending are kinds of problems that are known, with the reason. They are printed
// and do not fail unless -strict is given.
var pending = map[string]string{}
