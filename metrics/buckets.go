package metrics

// NonNegativeBuckets are bounds for a histogram of values that are not negative and may be of any
// size: 1, 2, 5, 10, 20, 50 and so on, up to 5e19.
var NonNegativeBuckets = nonNegativeBuckets()

func nonNegativeBuckets() []float64 {
	var bounds []float64
	for decade := 1.0; decade <= 1e19; decade *= 10 {
		bounds = append(bounds, decade, 2*decade, 5*decade)
	}
	return bounds
}
