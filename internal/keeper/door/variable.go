package door

import "errors"

// Variable is the variable that makes a program a keeper. It has the path of the state folder.
const Variable = "DIVISI_KEEPER"

// ErrNone is the error when no keeper runs.
var ErrNone = errors.New("no keeper runs")
