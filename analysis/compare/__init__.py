"""Two sweeps side by side: where do their answers, their outcomes and their maps differ?"""
