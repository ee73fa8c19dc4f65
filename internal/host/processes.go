package host

type processFacts struct{}
