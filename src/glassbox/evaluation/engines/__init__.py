"""The engines laid beside one another: their numbers, their times and memory, their source."""
