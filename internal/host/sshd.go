package host

type sshdFacts struct{}
