"""Statistics over data seeds: arrays in, dataclasses out; usable without the rest of the analysis.

- rank_correlation.py: Spearman's rho and Kendall's tau-b of a sample, and combined over cells by Fisher's z
- reweighted.py: the same without each cluster
- within_groups.py: Spearman's rho, or the partial one, of many groups, each whole and without each of its clusters
- split_halves.py: rank correlation of averages over clusters, cross-fitted over random halves
- between_methods.py: rank correlation of method means, with a permutation p-value
- cluster_jackknife.py: delete-one-data-seed jackknife of a correlation
- cluster_bootstrap.py: draws of data seeds, percentile intervals
- estimate.py: an estimate of any kind with its interval by either
- heterogeneity.py: how much correlations differ, with the prediction interval for one more
- permutation.py: permutation test within cells, with data seeds as blocks
- multiplicity.py: Benjamini-Hochberg and Holm
- power.py: smallest detectable correlation
"""
